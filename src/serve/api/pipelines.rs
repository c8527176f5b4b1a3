//! What can be done with pipelines.
//!
//! Next: `shapes.rs` is what they are answered with.

use super::answer::{Answer, Problem, empty, json, typed};
use super::operation::{Call, Content, Operation, Outcome, Parameter, handler, shape};
use super::shapes::{Graph, Guarantees, PipelineInfo, PipelineList, PipelineStatus, Validation};
use super::tail::tail;
use crate::graph::{dot, mermaid};
use crate::load::Sound;
use crate::offsets::as_json;
use crate::serve::control::{Control, Must, Put, Refusal};
use crate::serve::document::Checked;
use crate::serve::entry::{self, Accept, Kind, Name, Target};
use crate::serve::keeper::Present;
use crate::subject::Subject;
use axum::http::{Method, StatusCode, header};
use std::collections::BTreeMap;

const INITIAL_STATE: Parameter = Parameter {
    name: "initial_state",
    summary: "What is wanted of it at first; `running` if left out.",
    values: &["running", "paused", "stopped"],
};
const ACCEPT_CHANGE: Parameter = Parameter {
    name: "accept_change",
    summary: "What to do with the stored position of a stream whose server, method, request or \
              cursor mapping has changed; left out, such a pipeline fails to start.",
    values: &["resume", "reset"],
};
const DOCUMENT: &str = "A pipeline file, as YAML or as JSON.";

/// All operations with pipelines.
pub(super) fn operations() -> Vec<Operation> {
    let of_leader = [changes(), targets(), views()].into_iter().flatten().map(Operation::by_leader);
    of_leader.chain([check()]).collect()
}

/// What any instance can say of a document.
fn check() -> Operation {
    let told = ("validatePipeline", "Checks a document, and names all mistakes.");
    Operation::new(Method::POST, "/pipelines/validate", told, handler(validate))
        .takes(DOCUMENT)
        .answers("It has no mistake.", shape::<Validation>("Validation"))
}

/// Those that make and end pipelines.
fn changes() -> Vec<Operation> {
    const ALL: &str = "/pipelines";
    const ONE: &str = "/pipelines/{name}";
    let info = || shape::<PipelineInfo>("PipelineInfo");
    let told = ("listPipelines", "Lists all pipelines.");
    let list = Operation::new(Method::GET, ALL, told, handler(list))
        .answers("All of them.", shape::<PipelineList>("PipelineList"));
    let told = ("createPipeline", "Makes a pipeline, called as its document says.");
    let create = Operation::new(Method::POST, ALL, told, handler(create))
        .takes(DOCUMENT)
        .asks(&[INITIAL_STATE, ACCEPT_CHANGE])
        .replies(StatusCode::CREATED, "It is made.", info());
    let told = ("getPipeline", "Shows a pipeline and its document.");
    let show =
        Operation::new(Method::GET, ONE, told, handler(show)).answers("The pipeline.", info());
    let told = ("putPipeline", "Makes a pipeline, or replaces its document.");
    let put = Operation::new(Method::PUT, ONE, told, handler(replace))
        .takes(DOCUMENT)
        .asks(&[INITIAL_STATE, ACCEPT_CHANGE])
        .answers("It is replaced.", info())
        .replies(StatusCode::CREATED, "It is made.", info());
    let told = ("deletePipeline", "Deletes it. Its topics and its place in its streams stay.");
    let delete = Operation::new(Method::DELETE, ONE, told, handler(remove)).replies(
        StatusCode::NO_CONTENT,
        "It is deleted.",
        Content::Nothing,
    );
    vec![list, create, show, put, delete]
}

/// Those that say what is wanted of one.
fn targets() -> Vec<Operation> {
    let accepts = |operation: Operation| {
        let status = shape::<PipelineStatus>("PipelineStatus");
        operation.replies(StatusCode::ACCEPTED, "It is known, and follows soon.", status)
    };
    let told = ("pausePipeline", "Has it commit what it has received and end its calls.");
    let by = handler(|call| aim(call, Target::Paused));
    let pause = Operation::new(Method::PUT, "/pipelines/{name}/pause", told, by);
    let told = ("resumePipeline", "Has it go on behind its last commit.");
    let by = handler(|call| aim(call, Target::Running));
    let resume = Operation::new(Method::PUT, "/pipelines/{name}/resume", told, by);
    let told = ("stopPipeline", "As a pause; a failure is forgotten.");
    let by = handler(|call| aim(call, Target::Stopped));
    let stop = Operation::new(Method::PUT, "/pipelines/{name}/stop", told, by);
    let told = ("restartPipeline", "Has it commit, end and start anew; a failure is forgotten.");
    let by = handler(restart);
    let restart = Operation::new(Method::POST, "/pipelines/{name}/restart", told, by);
    [pause, resume, stop, restart].into_iter().map(accepts).collect()
}

/// Those that only look at one.
fn views() -> Vec<Operation> {
    const FORMAT: Parameter = Parameter {
        name: "format",
        summary: "How it is drawn; `json` if left out.",
        values: &["json", "mermaid", "dot"],
    };
    const RATE: Parameter = Parameter {
        name: "rate",
        summary: "Records a second at most, 1 to 1000; 10 if left out.",
        values: &[],
    };
    let look = |path, told, by| Operation::new(Method::GET, path, told, by);
    let told = ("getPipelineStatus", "How it stands.");
    let status = look("/pipelines/{name}/status", told, handler(status))
        .answers("Its state.", shape::<PipelineStatus>("PipelineStatus"));
    let told = ("getPipelineGraph", "Its nodes and edges.");
    let graph = look("/pipelines/{name}/graph", told, handler(graph))
        .asks(&[FORMAT])
        .answers("The graph.", shape::<Graph>("Graph"));
    let told = ("getPipelineGuarantee", "What its streams are promised, and what weakens it.");
    let guarantee = look("/pipelines/{name}/guarantee", told, handler(guarantee))
        .answers("By stream.", shape::<Guarantees>("Guarantees"));
    let told = ("getPipelineOffsets", "Where its shards durably stand, as Kafka has it.");
    let offsets = look("/pipelines/{name}/offsets", told, handler(offsets))
        .answers("By shard.", shape::<BTreeMap<String, serde_json::Value>>("Offsets"));
    let told = ("tailPipeline", "Shows some of its records as they pass by.");
    let tail = look("/pipelines/{name}/tail", told, handler(tail))
        .asks(&[RATE])
        .answers("Events `record`, `skipped`, `end`.", Content::Other("text/event-stream"));
    vec![status, graph, guarantee, offsets, tail]
}

async fn list(call: Call) -> Outcome {
    let all = call.api.control.entries(Kind::Pipeline)?;
    let pipelines = all.iter().map(PipelineStatus::of).collect();
    Ok(json(StatusCode::OK, &PipelineList { pipelines }))
}

async fn create(call: Call) -> Outcome {
    let (name, _) = read_any(&call).await?;
    store(call, name, Must::BeNew).await
}

async fn replace(call: Call) -> Outcome {
    let name = name(&call)?;
    store(call, name, Must::BeEither).await
}

async fn store(call: Call, name: Name, must: Must) -> Outcome {
    let target = match call.query.get("initial_state").map(String::as_str) {
        Some("paused") => Some(Target::Paused),
        Some("stopped") => Some(Target::Stopped),
        Some(_) => Some(Target::Running),
        None => None,
    };
    let accept_change = call.query.get("accept_change").map(|how| match how.as_str() {
        "resume" => Accept::Resume,
        _ => Accept::Reset,
    });
    let put = Put { must, target, accept_change };
    let document = text(&call.body)?;
    let done = call.api.control.put(Kind::Pipeline, &name, document, put).await?;
    let status = if done.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let mut answer = json(status, &PipelineInfo::of(&done.present));
    if done.is_new {
        let at = percent_encoding::utf8_percent_encode(
            name.as_str(),
            percent_encoding::NON_ALPHANUMERIC,
        );
        let at = format!("/pipelines/{at}").parse();
        let at = at.expect("what is percent-encoded is a header's value");
        answer.headers_mut().insert(header::LOCATION, at);
    }
    Ok(answer)
}

async fn validate(call: Call) -> Outcome {
    let (name, checked) = read_any(&call).await?;
    let asks = match &checked.sound {
        Sound::Whole(_) => Vec::new(),
        Sound::Open(open) => {
            open.outline.questions().iter().map(|question| question.node.clone()).collect()
        }
    };
    let validation = Validation {
        name: name.to_string(),
        asks_servers_for_types_of: asks,
        warnings: checked.warnings,
    };
    Ok(json(StatusCode::OK, &validation))
}

async fn show(call: Call) -> Outcome {
    Ok(json(StatusCode::OK, &PipelineInfo::of(&entry(&call)?)))
}

async fn status(call: Call) -> Outcome {
    Ok(json(StatusCode::OK, &PipelineStatus::of(&entry(&call)?)))
}

async fn remove(call: Call) -> Outcome {
    call.api.control.delete(Kind::Pipeline, &name(&call)?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn aim(call: Call, target: Target) -> Outcome {
    let present = call.api.control.aim(Kind::Pipeline, &name(&call)?, target).await?;
    Ok(json(StatusCode::ACCEPTED, &PipelineStatus::of(&present)))
}

async fn restart(call: Call) -> Outcome {
    let present = call.api.control.restart(Kind::Pipeline, &name(&call)?).await?;
    Ok(json(StatusCode::ACCEPTED, &PipelineStatus::of(&present)))
}

async fn graph(call: Call) -> Outcome {
    let sound = plan(&call.api.control, &entry(&call)?).await?;
    let plan = sound.sketch();
    Ok(match call.query.get("format").map(String::as_str) {
        Some("mermaid") => drawing(mermaid(plan)),
        Some("dot") => drawing(dot(plan)),
        _ => json(StatusCode::OK, &Graph::of(plan)),
    })
}

async fn guarantee(call: Call) -> Outcome {
    match plan(&call.api.control, &entry(&call)?).await? {
        Sound::Whole(plan) => Ok(json(StatusCode::OK, &Guarantees::of(&plan))),
        Sound::Open(_) => Err(Problem::new(
            StatusCode::CONFLICT,
            "its types are known to its server only, which is asked when it starts: start it first",
        )),
    }
}

async fn offsets(call: Call) -> Outcome {
    let plan = plan(&call.api.control, &entry(&call)?).await?.into_sketch();
    let subject = Subject::of(plan);
    let subject = subject.ok_or_else(|| {
        Problem::new(StatusCode::CONFLICT, "it has no Kafka sink, so nothing of it is kept")
    })?;
    let turn = call.api.kafka_turns.clone().acquire_owned().await.expect("it is never closed");
    let read = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        subject
            .read()
            .map(|stored| as_json(&subject, &stored))
            .map_err(|failed| failed.error.map(|error| format!("{error:#}")).unwrap_or_default())
    });
    match read.await {
        Ok(Ok(offsets)) => Ok(json(StatusCode::OK, &offsets)),
        Ok(Err(why)) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)),
        Err(error) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// The plan that runs, or what the document comes to.
async fn plan(control: &Control, present: &Present) -> Result<Sound, Problem> {
    let config = &present.view.config;
    let running = present.watched.as_ref().and_then(|it| it.plan());
    let is_present = present.view.running_revision == Some(config.revision);
    if let Some(plan) = running.filter(|_| is_present) {
        return Ok(Sound::Whole(plan.clone()));
    }
    let entry::Content::Known(known) = &config.content else {
        return Err(Problem::new(StatusCode::CONFLICT, "its document cannot be read"));
    };
    let checked = control.check(config.kind, &present.view.name, &known.document).await?;
    Ok(checked.sound)
}

/// The document of a request that does not say for which pipeline it is.
async fn read_any(call: &Call) -> Result<(Name, Checked), Problem> {
    let document = text(&call.body)?;
    let files = call.api.files.clone();
    let read = tokio::task::spawn_blocking(move || files.read_any(&document)).await;
    let read =
        read.map_err(|it| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, it.to_string()))?;
    Ok(read.map_err(Refusal::Mistakes)?)
}

fn text(body: &[u8]) -> Result<String, Problem> {
    let text = std::str::from_utf8(body);
    let text = text.map_err(|error| Problem::bad(format!("the document is no UTF-8: {error}")))?;
    match text.trim().is_empty() {
        true => Err(Problem::bad("the body is empty: put the pipeline file there")),
        false => Ok(text.to_owned()),
    }
}

/// The name in the path.
pub(super) fn name(call: &Call) -> Result<Name, Problem> {
    Name::new(&call.parts["name"]).map_err(|error| Problem::bad(error.to_string()))
}

/// The pipeline in the path.
pub(super) fn entry(call: &Call) -> Result<Present, Problem> {
    Ok(call.api.control.entry(Kind::Pipeline, &name(call)?)?)
}

fn drawing(text: String) -> Answer {
    typed(StatusCode::OK, "text/plain; charset=utf-8", text)
}
