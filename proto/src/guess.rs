//! Which field of a method's messages may be its cursor, and which field of its request takes it.
//!
//! Descriptors hold no meaning, but people name things alike: `from_sequence` takes a `sequence`,
//! `start_revision` a `revision`. Names, types and the places of fields are weighed; each guess
//! says why, because a person must judge it.
//!
//! Invariant: what is guessed can be written into a pipeline file: the paths exist, and the types
//! of both fields agree.

use crate::descriptors::Method;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// How deep fields are looked at.
const DEPTH_MAX: usize = 3;

/// Guesses that are returned at most.
const GUESSES_MAX: usize = 5;

/// Fields of one message tree that are looked at.
const FIELDS_MAX: usize = 2000;

/// What servers call their cursors, and how much each word says.
const WORDS: [(&str, i32); 30] = [
    ("replay_id", 10),
    ("cursor", 10),
    ("resume_token", 10),
    ("continuation_token", 10),
    ("sequence", 9),
    ("sequence_number", 9),
    ("seq", 9),
    ("revision", 9),
    ("offset", 9),
    ("vgtid", 9),
    ("gtid", 9),
    ("lsn", 9),
    ("position", 8),
    ("checkpoint", 8),
    ("slot", 8),
    ("block_height", 8),
    ("height", 7),
    ("block_number", 7),
    ("version", 7),
    ("changes_through", 7),
    ("event_id", 6),
    ("message_id", 6),
    ("index", 5),
    ("number", 4),
    ("timestamp", 4),
    ("time", 4),
    ("created_at", 4),
    ("updated_at", 4),
    ("token", 6),
    ("id", 3),
];

/// Words before a request field's name that mean "the first one wanted".
const FROM: [&str; 6] = ["from", "start", "starting", "start_at", "begin", "first"];

/// Words before it that mean "the last one known", or say nothing of it.
const AFTER: [&str; 8] =
    ["after", "since", "last", "resume", "resume_after", "continue_after", "replay", "previous"];

/// What a request field without another hint is called.
const PLAIN: [&str; 4] = ["from", "start", "since", "after"];

/// A pair of fields that may resume a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// The path of the field in the messages, as `resume.cursor` takes it.
    pub from: String,
    /// The path of the field in the request, in steps; none was found if it is empty.
    pub to: Vec<String>,
    /// Where the server may go on: `after`, `at` or `next`.
    pub position: &'static str,
    /// Why, a few words each.
    pub reasons: Vec<String>,
    /// Why a file that says so may lose messages, where the guess alone cannot tell.
    pub doubt: Option<&'static str>,
    score: i32,
}

/// A field somewhere in a message.
struct Place {
    field: FieldDescriptor,
    path: String,
    steps: Vec<String>,
    depth: usize,
    is_in_list: bool,
    /// Whether it, or what it is in, is there in some messages only.
    is_in_oneof: bool,
}

/// Words for what several messages in a row may share.
const SHARED: [&str; 9] = [
    "slot",
    "height",
    "block_height",
    "block_number",
    "block_num",
    "time",
    "timestamp",
    "created_at",
    "updated_at",
];

/// What a value means, as far as a cursor is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sort {
    Number,
    Text,
    Bytes,
    Moment,
    Message(String),
}

/// The likeliest cursors of `method`, best first. Those that a request field takes stand before
/// all others.
pub fn cursors(method: &Method) -> Vec<Guess> {
    let requests = places(&method.input());
    let mut guesses: Vec<Guess> =
        (places(&method.output()).iter()).filter_map(|place| guess(place, &requests)).collect();
    guesses.sort_by(|one, other| {
        let key = |it: &Guess| (it.to.is_empty(), -it.score, it.from.len());
        key(one).cmp(&key(other)).then_with(|| one.from.cmp(&other.from))
    });
    guesses.truncate(GUESSES_MAX);
    guesses
}

fn guess(place: &Place, requests: &[Place]) -> Option<Guess> {
    let sort = sort(&place.field)?;
    let (word, weight) = word(place.field.name());
    let taken = requests.iter().filter_map(|request| taken_by(place, &sort, request));
    let taken = taken.max_by_key(|taken| (taken.weight, -(taken.to.len() as i32)));
    if weight == 0 && taken.as_ref().is_none_or(|taken| taken.weight < SAME_NAME) {
        return None;
    }
    let mut reasons = Vec::new();
    if !word.is_empty() {
        reasons.push(format!("it is called `{word}`, as cursors often are"));
    }
    reasons.push(format!("it is {}", sort_words(&sort)));
    let depth = i32::try_from(place.depth).unwrap_or(i32::MAX);
    let mut score = weight + sort_weight(&sort) - 2 * depth - i32::from(place.is_in_list);
    let mut to = Vec::new();
    let mut position = "after";
    if let Some(taken) = taken {
        score += taken.weight;
        reasons.push(format!("the request's `{}` {}", taken.to.join("."), taken.why));
        position = taken.position(&sort);
        to = taken.to;
    }
    let doubt = doubt(place, &sort);
    Some(Guess { from: place.path.clone(), to, position, reasons, doubt, score })
}

/// Why the field may not be in each message, or not of one message alone.
fn doubt(place: &Place, sort: &Sort) -> Option<&'static str> {
    let name = place.field.name();
    let is_shared = |word: &&str| {
        name.strip_suffix(*word).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    };
    if place.is_in_oneof {
        return Some(
            "it is part of a `oneof`: other messages may bear the value elsewhere, or none",
        );
    }
    let may_be_shared = *sort == Sort::Moment || SHARED.iter().any(is_shared);
    may_be_shared.then_some(
        "several messages may share one value: a cut between them loses the later ones, unless \
         `boundary` keeps them together",
    )
}

/// A request field of the same name alone is reason enough.
const SAME_NAME: i32 = 8;

/// A request field that may take a cursor.
struct Taken {
    to: Vec<String>,
    weight: i32,
    why: String,
    is_first_wanted: bool,
}

impl Taken {
    fn position(&self, sort: &Sort) -> &'static str {
        match (self.is_first_wanted, sort) {
            // Several messages may bear one moment, so the last one is asked for again.
            (_, Sort::Moment) => "at",
            (true, Sort::Number) => "next",
            // What only the server understands is the name of something that was received.
            _ => "after",
        }
    }
}

fn taken_by(place: &Place, of: &Sort, request: &Place) -> Option<Taken> {
    if request.is_in_list || sort(&request.field)? != *of {
        return None;
    }
    let (own, name) = (place.field.name(), request.field.name());
    let name = name.strip_prefix("optional_").unwrap_or(name);
    let stem = |prefixes: &[&str]| {
        let mut stems = prefixes.iter().filter_map(|prefix| name.strip_prefix(prefix));
        stems.find_map(|rest| rest.strip_prefix('_').map(str::to_owned))
    };
    let is_alike = |stem: &str| {
        let short = |name: &str| name.rsplit('_').next().unwrap_or_default().to_owned();
        match stem {
            _ if stem == own => 2,
            _ if short(stem) == short(own) || own.ends_with(stem) || stem.ends_with(own) => 1,
            _ => 0,
        }
    };
    let (from, after) = (stem(&FROM), stem(&AFTER));
    let is_first_wanted = from.is_some() || FROM.contains(&name);
    let by_prefix = from.or(after).map_or(0, |stem| is_alike(&stem));
    let (mut weight, why) = match (by_prefix, own == name) {
        (2, _) => (SAME_NAME + 2, "is named after it".to_owned()),
        (_, true) => (SAME_NAME, "has the same name".to_owned()),
        (1, _) => (5, "is named like it".to_owned()),
        _ if PLAIN.contains(&name) => (3, "names a beginning".to_owned()),
        _ => match of {
            Sort::Message(name) => (6, format!("has the same type, {name}")),
            _ => return None,
        },
    };
    let depth = i32::try_from(request.depth).unwrap_or(i32::MAX);
    weight = (weight - depth).max(1);
    Some(Taken { to: request.steps.clone(), weight, why, is_first_wanted })
}

/// The fields of a message and of the messages in it; no message within itself.
fn places(message: &MessageDescriptor) -> Vec<Place> {
    let mut found = Vec::new();
    let mut open = vec![(message.clone(), String::new(), Vec::<String>::new(), 0, (false, false))];
    while let Some((message, prefix, steps, depth, (is_in_list, is_in_oneof))) = open.pop() {
        for field in message.fields().filter(|field| !field.is_map()) {
            if found.len() == FIELDS_MAX {
                return found;
            }
            let is_list = field.is_list();
            let of_oneof = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
            let is_in_oneof = is_in_oneof || of_oneof;
            let place = if is_list { "[-1]" } else { "" };
            let path = format!("{prefix}{}{place}", field.name());
            let steps: Vec<String> =
                steps.iter().cloned().chain([field.name().to_owned()]).collect();
            if let Kind::Message(inner) = field.kind()
                && depth + 1 < DEPTH_MAX
                && !inner.full_name().starts_with("google.protobuf.")
            {
                let below = (inner, format!("{path}."), steps.clone(), depth + 1);
                let within = (is_in_list || is_list, is_in_oneof);
                open.push((below.0, below.1, below.2, below.3, within));
            }
            if !is_list {
                found.push(Place { field, path, steps, depth, is_in_list, is_in_oneof });
            }
        }
    }
    found
}

fn sort(field: &FieldDescriptor) -> Option<Sort> {
    Some(match field.kind() {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => Sort::Number,
        Kind::Sint32 | Kind::Sint64 | Kind::Fixed32 | Kind::Fixed64 => Sort::Number,
        Kind::Sfixed32 | Kind::Sfixed64 => Sort::Number,
        Kind::String => Sort::Text,
        Kind::Bytes => Sort::Bytes,
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => Sort::Moment,
            name if name.starts_with("google.protobuf.") => return None,
            name => Sort::Message(name.to_owned()),
        },
        Kind::Bool | Kind::Double | Kind::Float | Kind::Enum(_) => return None,
    })
}

fn sort_weight(sort: &Sort) -> i32 {
    match sort {
        Sort::Number => 3,
        Sort::Bytes => 2,
        Sort::Text | Sort::Moment => 1,
        Sort::Message(_) => 0,
    }
}

fn sort_words(sort: &Sort) -> String {
    match sort {
        Sort::Number => "a number, so values have an order".to_owned(),
        Sort::Text => "a text that only the server understands".to_owned(),
        Sort::Bytes => "bytes that only the server understands".to_owned(),
        Sort::Moment => "a moment; several messages may bear the same one".to_owned(),
        Sort::Message(name) => format!("a message of type {name}"),
    }
}

/// The weightiest word in a name; a name that is the word counts in full, one that ends with it a
/// little less.
fn word(name: &str) -> (&'static str, i32) {
    let weigh = |(word, weight): &(&'static str, i32)| match name.strip_suffix(word) {
        Some("") => Some((*word, *weight)),
        Some(rest) if rest.ends_with('_') => Some((*word, weight - 1)),
        _ => None,
    };
    WORDS.iter().filter_map(weigh).max_by_key(|(_, weight)| *weight).unwrap_or(("", 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::{DescriptorInput, Descriptors};
    use std::fs;

    /// Methods as public APIs have them, with what resumes each.
    const SOURCE: &str = r#"syntax = "proto3";
package p;
import "google/protobuf/timestamp.proto";
service S {
  rpc Telemetry(FromSequence) returns (stream Sequence);
  rpc Flow(FlowRequest) returns (stream FlowEvents);
  rpc Aptos(AptosRequest) returns (stream AptosBatch);
  rpc Firehose(FirehoseRequest) returns (stream FirehoseBlock);
  rpc Spice(SpiceRequest) returns (stream SpiceChange);
  rpc Hubble(HubbleRequest) returns (stream HubbleFlow);
  rpc Nothing(Empty) returns (stream Reading);
  rpc Slots(SlotRequest) returns (stream SlotUpdate);
}
message Empty {}
message SlotRequest { optional uint64 from_slot = 1; }
message SlotUpdate { oneof of { Block block = 1; Ping ping = 2; } }
message Block { uint64 slot = 1; }
message Ping {}
message FromSequence { string filter = 1; uint64 count = 2; uint64 from_sequence = 5; }
message Sequence { uint64 sequence = 1; int64 emitted_ns = 2; string device_id = 3; }
message FlowRequest { bytes start_block_id = 1; uint64 start_block_height = 2; }
message FlowEvents { bytes block_id = 1; uint64 block_height = 2; repeated Reading events = 3; }
message AptosRequest { optional uint64 starting_version = 1; optional uint64 count = 2; }
message AptosBatch { repeated Transaction transactions = 1; }
message Transaction { uint64 version = 1; uint64 gas = 2; }
message FirehoseRequest { int64 start_block_num = 1; string cursor = 2; bool final_only = 3; }
message FirehoseBlock { bytes block = 1; string cursor = 2; }
message SpiceRequest { repeated string kinds = 1; Token optional_start_cursor = 2; }
message SpiceChange { repeated Reading updates = 1; Token changes_through = 2; }
message Token { string token = 1; }
message HubbleRequest { uint64 number = 1; google.protobuf.Timestamp since = 2; }
message HubbleFlow { google.protobuf.Timestamp time = 1; Reading flow = 2; }
message Reading { double value = 1; bool good = 2; }
"#;

    fn best(method: &str) -> Option<Guess> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("s.proto");
        fs::write(&file, SOURCE).expect("it is writable");
        let input = DescriptorInput::Protos { files: vec![file], includes: vec![] };
        let types = Descriptors::load(&input).unwrap_or_else(|error| panic!("{error}"));
        let method = types.method(&format!("p.S/{method}")).expect("it is there");
        cursors(&method).into_iter().next()
    }

    #[test]
    fn what_resumes_public_apis_is_guessed() {
        let cases = [
            ("Telemetry", "sequence", "from_sequence", "next"),
            ("Flow", "block_height", "start_block_height", "next"),
            ("Aptos", "transactions[-1].version", "starting_version", "next"),
            ("Firehose", "cursor", "cursor", "after"),
            ("Spice", "changes_through", "optional_start_cursor", "after"),
            ("Hubble", "time", "since", "at"),
        ];
        for (method, from, to, position) in cases {
            let guess = best(method).unwrap_or_else(|| panic!("{method}: nothing is guessed"));
            let told = (guess.from.as_str(), guess.to.join("."), guess.position);
            assert_eq!(told, (from, to.to_owned(), position), "{method}: {guess:?}");
            assert!(!guess.reasons.is_empty());
        }
    }

    #[test]
    fn what_messages_may_share_or_lack_is_doubted() {
        let doubts = ["Telemetry", "Flow", "Aptos", "Firehose", "Spice", "Hubble", "Slots"]
            .map(|method| best(method).expect(method).doubt.map(|it| it.contains("oneof")));
        assert_eq!(doubts, [None, Some(false), None, None, None, Some(false), Some(true)]);
    }

    #[test]
    fn where_nothing_looks_like_a_cursor_nothing_is_guessed() {
        assert_eq!(best("Nothing"), None);
    }
}
