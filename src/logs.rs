//! Log lines: key=value pairs or JSON, on standard error.
//!
//! Every line has an `event`; lines about a pipeline, source, shard or session name it in a field.
//!
//! Next: `logs/levels.rs` changes what is told while the process runs.

mod levels;

pub(crate) use levels::{BadLevel, Level, Levels};

use crate::args::{LogFormat, Logs};
use crate::exit::{Exit, Failed};
use crate::screen::Screen;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// What libraries say of every frame and packet is shown only if it is asked for by name.
const CHATTY: &str = "h2=info,hyper=info,hyper_util=info,tonic=info,tower=info,rustls=info";

/// Installs the process's log.
pub(crate) fn install(options: &Logs, screen: &Screen) -> Result<(), Failed> {
    let directives = directives(&options.log_level);
    let filter = EnvFilter::try_new(&directives).map_err(|error| {
        let level = &options.log_level;
        Exit::Mistake.saying(format!(
            "--log-level {level}: {error}; expected error, warn, info, debug, trace or target=level"
        ))
    })?;
    let filter = Levels::install(filter, directives);
    let writer = screen.clone();
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match options.log_format {
        LogFormat::Text => {
            let text = tracing_logfmt::builder().with_target(false).with_span_name(false);
            Box::new(text.with_span_path(false).layer().with_writer(writer))
        }
        LogFormat::Json => {
            let json =
                tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false);
            Box::new(json.with_target(false).with_writer(writer))
        }
    };
    let subscriber = Registry::default().with(lines.with_filter(filter));
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| Exit::Internal.because(error))
}

/// A plain level is meant for this program; with pairs, a person says exactly what they want.
fn directives(log_level: &str) -> String {
    if log_level.contains(['=', ',']) {
        return log_level.to_owned();
    }
    format!("{log_level},{CHATTY}")
}
