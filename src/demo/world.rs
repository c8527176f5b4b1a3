//! What the demo runs between: the sample server, a broker, and the plan that joins them.

use crate::args::Demo;
use crate::exit::{Exit, Failed};
use headwater_broker::{Broker, BrokerConfig};
use headwater_engine::spec::{Plan, Role, Source, SystemVariables, Variables, load};
use headwater_operators::sink::kafka::KafkaSink;
use headwater_telemetry::TelemetryServer;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// The pipeline file, as it also stands among the examples.
const PIPELINE: &str = include_str!("../../examples/pipelines/demo.yaml");

/// The port Kafka clients expect.
const BROKER_PORT: u16 = 9092;

/// Everything around the pipeline.
pub(super) struct World {
    pub(super) server: TelemetryServer,
    /// The built-in broker, unless another cluster is used.
    pub(super) broker: Option<Broker>,
    pub(super) brokers: String,
    pub(super) plan: Arc<Plan>,
    pub(super) topic: String,
}

/// What the pipeline file asks the environment for.
struct DemoVariables {
    server: String,
    brokers: String,
    rate: String,
}

impl World {
    /// Starts server and broker, and checks the plan.
    pub(super) async fn start(options: &Demo) -> Result<Self, Failed> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = TelemetryServer::start(free).await;
        let server = server.map_err(|error| Exit::Unavailable.because(error))?;
        let broker = match &options.kafka {
            Some(_) => None,
            None => Some(start_broker(options.port).await?),
        };
        let built_in = broker.as_ref().map(Broker::bootstrap).unwrap_or_default();
        let brokers = options.kafka.clone().unwrap_or(built_in);
        let variables = DemoVariables {
            server: server.endpoint(),
            brokers: brokers.clone(),
            rate: options.rate.to_string(),
        };
        let plan = plan(&variables)?;
        let topic = topic(&plan);
        Ok(World { server, broker, brokers, plan: Arc::new(plan), topic })
    }
}

/// The expected port if it is free and nobody asked for another.
async fn start_broker(port: Option<u16>) -> Result<Broker, Failed> {
    let on = |port| BrokerConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        ..BrokerConfig::in_memory()
    };
    let started = match port {
        Some(port) => Broker::start(on(port)).await,
        None => match Broker::start(on(BROKER_PORT)).await {
            Err(headwater_broker::StartError::Listen { .. }) => Broker::start(on(0)).await,
            started => started,
        },
    };
    started.map_err(|error| Exit::Unavailable.because(error))
}

/// The file's relative paths need a folder: one for the moment of reading it.
fn plan(variables: &DemoVariables) -> Result<Plan, Failed> {
    let folder = std::env::temp_dir().join(format!("headwater-demo-{}", std::process::id()));
    let written = std::fs::create_dir_all(&folder).and_then(|()| {
        std::fs::write(folder.join("telemetry.proto"), headwater_proto::TELEMETRY_PROTO)
    });
    written.map_err(|error| Exit::Unavailable.saying(format!("{}: {error}", folder.display())))?;
    let source = Source { name: "demo.yaml", text: PIPELINE, base_dir: &folder };
    let loaded = load(&source, &headwater_operators::registry(), variables);
    // What is left behind in a folder for temporary files does no harm.
    let _ = std::fs::remove_dir_all(&folder);
    let (plan, _) = loaded.map_err(|mistakes| Exit::Mistake.saying(mistakes.render(false)))?;
    Ok(plan)
}

fn topic(plan: &Plan) -> String {
    let mut sinks = plan.of_role(Role::Sink);
    let sink = sinks.next().expect("a checked plan has a sink");
    sink.config::<KafkaSink>().topic.clone()
}

impl Variables for DemoVariables {
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "HEADWATER_DEMO_SERVER" => Some(self.server.clone()),
            "HEADWATER_DEMO_KAFKA" => Some(self.brokers.clone()),
            "HEADWATER_DEMO_RATE" => Some(self.rate.clone()),
            _ => None,
        }
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        SystemVariables.file(path)
    }
}
