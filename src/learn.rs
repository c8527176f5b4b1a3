//! Files that leave types to their servers: the servers are asked, and the files checked again.
//!
//! A command that runs pipelines waits for its servers as a call does, with growing pauses; one
//! that only looks asks each of them once.
//!
//! Next: `operators/src/source/grpc/reflect/` asks.

use crate::exit::{Exit, Failed};
use crate::load::{self, Open, Sound, Text, colour};
use crate::run;
use headwater_engine::spec::{Diagnostics, Plan, Question};
use headwater_operators::source::grpc::{Away, Inquiry, Learned, NoAnswer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Why a file that left types to its servers did not become a plan.
pub(crate) enum Unlearned {
    /// It was asked to stop before a server answered.
    Stopped,
    /// A server gave an answer that will not change.
    Refused(String),
    /// With the types that were told, the file holds mistakes.
    Mistakes(Diagnostics),
}

/// A plan, and what servers told of its types.
type Asked = (Arc<Plan>, Vec<Learned>);

/// What a question of the loader is about: no other kind than the gRPC source asks.
pub(crate) fn inquiry(question: &Question) -> &Inquiry {
    question.about.downcast_ref().expect("gRPC sources alone leave questions open")
}

impl Open {
    /// Asks until all servers have answered, then checks the file; `told` hears of attempts that
    /// failed.
    pub(crate) async fn learned(
        &self,
        stop: &CancellationToken,
        told: impl Fn(&str),
    ) -> Result<Arc<Plan>, Unlearned> {
        let mut text = self.text.clone();
        for question in self.outline.questions() {
            let heard = |away: &Away| {
                log_away(self.outline.sketch(), &question.node, away);
                told(&away.reason);
            };
            let learned = inquiry(question).answered(stop, heard).await;
            let learned = learned.map_err(|none| match none {
                NoAnswer::Stopped => Unlearned::Stopped,
                NoAnswer::Refused(reason) => Unlearned::Refused(reason),
            })?;
            log_learned(self.outline.sketch(), &question.node, &learned);
            text.learn(&question.node, &learned);
        }
        // Files are read again, and what was learned is taken apart.
        let checked = tokio::task::spawn_blocking(move || text.check_or_diagnose()).await;
        let checked = checked.expect("the check of a file does not panic");
        checked.map(Arc::new).map_err(Unlearned::Mistakes)
    }

    /// Asks each server once.
    async fn learned_now(&self) -> Result<(Text, Vec<Learned>), Failed> {
        let mut text = self.text.clone();
        let mut all = Vec::new();
        for question in self.outline.questions() {
            let learned = inquiry(question).types().await;
            let learned = learned.map_err(|error| Exit::Unavailable.saying(error.text))?;
            text.learn(&question.node, &learned);
            all.push(learned);
        }
        Ok((text, all))
    }
}

/// A file's text with all types in it, and what its servers told, each asked once.
pub(crate) fn text(text: Text) -> Result<(Text, Vec<Learned>), Failed> {
    let checked = text.clone().checked().map_err(|mistakes| {
        eprintln!("{}", mistakes.trim_end());
        Exit::Mistake.silently()
    })?;
    match checked {
        Sound::Whole(_) => Ok((text, Vec::new())),
        Sound::Open(open) => run::start_runtime()?.block_on(open.learned_now()),
    }
}

/// The plan of one file; its servers are asked only if that is allowed.
pub(crate) fn plan(path: &Path, is_online: bool) -> Result<Asked, Failed> {
    match load::file(path)? {
        Sound::Whole(plan) => Ok((plan, Vec::new())),
        Sound::Open(open) if is_online => whole(&open),
        Sound::Open(open) => {
            let name = open.outline.sketch().name();
            Err(Exit::Mistake.saying(format!(
                "pipeline {name} leaves the types of its messages to its server \
                 (`descriptors.reflection`); add --online to ask it"
            )))
        }
    }
}

/// All plans, with what servers told of each; every file is tried.
pub(crate) fn plans(paths: &[PathBuf]) -> Result<Vec<Asked>, Failed> {
    let mut plans = Vec::new();
    let mut failed: Option<Failed> = None;
    for sound in load::files(paths)? {
        match sound {
            Sound::Whole(plan) => plans.push((plan, Vec::new())),
            Sound::Open(open) => match whole(&open) {
                Ok(plan) => plans.push(plan),
                Err(Failed { exit, error }) => {
                    if let Some(error) = error {
                        eprintln!("error: {error:#}");
                    }
                    let earlier = failed.map_or(exit, |failed| failed.exit.graver(exit));
                    failed = Some(earlier.silently());
                }
            },
        }
    }
    failed.map_or(Ok(plans), Err)
}

fn whole(open: &Open) -> Result<Asked, Failed> {
    let (text, learned) = run::start_runtime()?.block_on(open.learned_now())?;
    let plan = text.check_or_diagnose().map_err(|mistakes| {
        eprintln!("{}", mistakes.render(colour()).trim_end());
        Exit::Mistake.silently()
    })?;
    Ok((Arc::new(plan), learned))
}

fn log_away(sketch: &Plan, source: &str, away: &Away) {
    let pipeline = sketch.name();
    let delay_ms = u64::try_from(away.delay.as_millis()).unwrap_or(u64::MAX);
    let (attempt, reason) = (away.attempt, away.reason.as_str());
    tracing::warn!(event = "types_away", pipeline, source, attempt, delay_ms, reason);
}

fn log_learned(sketch: &Plan, source: &str, learned: &Learned) {
    let Learned { server, version, files, .. } = learned;
    let (pipeline, bytes, sha256) = (sketch.name(), learned.set.len(), learned.sha256());
    let absent = (!learned.absent.is_empty()).then(|| learned.absent.join(","));
    tracing::info!(
        event = "types_learned",
        pipeline,
        source,
        server,
        reflection = version,
        files,
        bytes,
        sha256,
        absent
    );
}
