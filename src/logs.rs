//! Log lines: key=value pairs or JSON, on standard error.
//!
//! Every line has an `event`; lines about a pipeline, source, shard or session name it in a field.

use crate::args::{LogFormat, Logs};
use crate::exit::{Exit, Failed};
use crate::screen::Screen;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// Installs the process's log.
pub(crate) fn install(options: &Logs, screen: &Screen) -> Result<(), Failed> {
    let filter = EnvFilter::try_new(&options.log_level).map_err(|error| {
        let level = &options.log_level;
        Exit::Mistake.saying(format!(
            "--log-level {level}: {error}; expected error, warn, info, debug, trace or target=level"
        ))
    })?;
    let writer = screen.clone();
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match options.log_format {
        LogFormat::Text => {
            let text = tracing_logfmt::builder().with_target(false).with_span_name(false);
            Box::new(text.with_span_path(false).layer().with_writer(writer))
        }
        LogFormat::Json => {
            let json = tracing_subscriber::fmt::layer().json().flatten_event(true);
            Box::new(json.with_target(false).with_writer(writer))
        }
    };
    let subscriber = Registry::default().with(lines.with_filter(filter));
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| Exit::Internal.because(error))
}
