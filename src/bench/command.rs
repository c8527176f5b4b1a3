//! The order of a bench: check, prepare, measure, clean up, report.
//!
//! Why in this order: a mistake is told before anything is contacted, and files that cannot be
//! written before half a minute has passed; topics are deleted before anything else can go wrong.
//!
//! Next: `src/bench/double.rs`.

use crate::args::{Bench, BenchBroker, LogFormat, Logs};
use crate::bench::double::Double;
use crate::bench::measure::{Measured, measure};
use crate::bench::{hgrm, report};
use crate::exit::{Exit, Failed, Outcome};
use crate::load::Text;
use crate::plot::{Series, percentiles};
use crate::screen::Screen;
use crate::{learn, logs, output, run};
use std::path::Path;

/// Measures the pipeline of a file.
pub(crate) fn bench(options: &Bench) -> Outcome {
    let (text, real) = check(options)?;
    let screen = Screen::new(!options.quiet);
    let log_level = options.log_level.clone();
    logs::install(&Logs { log_format: LogFormat::Text, log_level }, &screen)?;
    let double = Double::prepare(options, &text, &real)?;
    output::print(&report::introduction(&double, options, real.name()));
    let runtime = run::start_runtime()?;
    let measured = runtime.block_on(measure(&double.plan, options, &screen));
    runtime.shutdown_background();
    if !options.keep {
        for undeleted in double.clean_up() {
            eprintln!("warning: topic `{}` stays: {}", undeleted.topic, undeleted.reason);
        }
    }
    let measured = measured?;
    output::print(&report::text(&measured));
    write(options, &measured, &double, real.name())?;
    Ok(measured.exit)
}

/// All that can be wrong without anything being contacted.
fn check(options: &Bench) -> Result<(Text, headwater_engine::spec::Plan), Failed> {
    let mistake = |told: String| {
        eprintln!("{}", told.trim_end());
        Exit::Mistake.silently()
    };
    let text = Text::read(&options.file).map_err(mistake)?;
    let (text, _) = learn::text(text)?;
    let real = text.check().map_err(mistake)?;
    let has_kafka = real.nodes().iter().any(|node| node.kind == "kafka");
    if options.broker == BenchBroker::Embedded && !has_kafka {
        let name = real.name();
        return Err(Exit::Mistake.saying(format!(
            "--broker embedded: pipeline {name} has no Kafka sink, so it needs no broker"
        )));
    }
    if options.broker == BenchBroker::Embedded && options.keep {
        return Err(Exit::Mistake.saying("--keep: the topics of an embedded broker end with it"));
    }
    for path in [&options.json, &options.histogram, &options.plot].into_iter().flatten() {
        try_write(path)?;
    }
    Ok((text, real))
}

fn try_write(path: &Path) -> Result<(), Failed> {
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|error| Exit::Mistake.saying(format!("{}: {error}", path.display())))
}

/// The files that were asked for. Without a measurement there are no latencies to write.
fn write(options: &Bench, measured: &Measured, double: &Double, real: &str) -> Result<(), Failed> {
    let to = |path: &Path, text: &str| {
        let written = std::fs::write(path, text);
        written.map_err(|error| Exit::Internal.saying(format!("{}: {error}", path.display())))
    };
    if let Some(path) = &options.json {
        to(path, &format!("{:#}\n", report::json(measured, double, real)))?;
    }
    let Some(window) = &measured.window else { return Ok(()) };
    let latency_us = &window.tally.latency_us;
    if let Some(path) = &options.histogram {
        to(path, &hgrm::text(latency_us))?;
    }
    if let Some(path) = &options.plot {
        let series = Series { name: "receipt → durable".to_owned(), histogram: latency_us };
        to(path, &percentiles(&format!("Latency of pipeline {real}"), &[series]))?;
    }
    Ok(())
}
