//! The keys of the call: server, method, request, types, security, reconnecting.
//!
//! Types are looked at where they are: in the configuration itself or in a file that is there. Then
//! the method is known, and a field that may be its cursor is guessed.
//!
//! Next: `types.rs`, `metadata.rs`; then `../values.rs`, `../chain/`.

mod metadata;
mod types;

use super::reader::{Number, Reader};
use crate::connect::mistake::Mistake;
use crate::connect::references::{converted, has_any};
use headwater_proto::Method;
use serde_json::{Map, Value as Json, json};
use std::net::Ipv6Addr;

/// The source of the pipeline.
pub(super) struct SourcePart {
    pub(super) endpoint: String,
    pub(super) method: String,
    pub(super) descriptors: Json,
    /// The method, if its types were there to be looked at.
    pub(super) known: Option<Method>,
    pub(super) request: Option<Json>,
    pub(super) tls: Map<String, Json>,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) topic: Topic,
    pub(super) connect_timeout_ms: Number,
    pub(super) keepalive: Option<(Number, Number)>,
    pub(super) message_bytes_max: Number,
    pub(super) reconnect: Reconnect,
}

/// The topic's name, and whether it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Topic {
    pub(super) name: String,
    /// It is, or holds, a reference.
    pub(super) is_reference: bool,
}

/// What happens when a call is lost or ends.
pub(super) enum Reconnect {
    Never,
    After { min_ms: Number, max_ms: Number, attempts_max: Option<Number> },
}

/// Milliseconds that a wait between calls may have.
const BACKOFF_MS: (i64, i64) = (10, 3_600_000);
const CONNECT_MS: (i64, i64) = (100, 600_000);
const PING_MS: (i64, i64) = (1_000, 86_400_000);
const PONG_MS: (i64, i64) = (100, 600_000);
const TOPIC_BYTES_MAX: usize = 249;
const MESSAGE_BYTES: (i64, i64) = (1_024, 1_073_741_824);

pub(super) fn read(reader: &mut Reader<'_>) -> SourcePart {
    let is_secure = reader.flag("grpc.tls.enabled", false);
    let endpoint = endpoint(is_secure, reader);
    let service = reader.text("grpc.service.name").unwrap_or_default();
    let method = reader.text("grpc.method.name").unwrap_or_default();
    name("grpc.service.name", &service, reader);
    name("grpc.method.name", &method, reader);
    let method = format!("{service}/{method}");
    let (descriptors, types) = types::read(reader);
    let known = types.and_then(|types| types::look_up(&types, &method, reader));
    note_queue(reader);
    SourcePart {
        endpoint,
        descriptors,
        known,
        method,
        request: request(reader),
        tls: tls(is_secure, reader),
        metadata: metadata::read(reader),
        topic: topic(reader),
        connect_timeout_ms: reader.bounded("grpc.connection.timeout.ms", 30_000, CONNECT_MS),
        keepalive: keepalive(reader),
        message_bytes_max: message_bytes_max(reader),
        reconnect: reconnect(reader),
    }
}

fn endpoint(is_secure: bool, reader: &mut Reader<'_>) -> String {
    const KEY: &str = "grpc.server.host";
    let host = reader.text(KEY).unwrap_or_default();
    let is_text = !host.contains("${");
    if reader.config.has(KEY) && is_text && !is_host(&host) {
        let told = Mistake::of(KEY, "is not a host");
        reader.mistake(told.hint("expected a name or an address, without scheme and port"));
    }
    let is_address = host.contains(':') && is_text && !host.starts_with('[');
    let host = if is_address { format!("[{host}]") } else { host };
    const PORT: &str = "grpc.server.port";
    // One that is missing, or no number, is told by the validation; null passes it.
    let is_null = reader.config.has(PORT) && reader.config.get(PORT).is_none();
    let port = reader.number(PORT).unwrap_or(Number::Known(if is_null { 0 } else { 1 }));
    if matches!(port, Number::Known(port) if !(1..=65_535).contains(&port)) {
        let told = Mistake::of(PORT, "is not a port");
        reader.mistake(told.hint("expected a number from 1 to 65535"));
    }
    let scheme = if is_secure { "https" } else { "http" };
    format!("{scheme}://{host}:{}", port.written())
}

/// Whether a text is a name or an address, and nothing around it.
fn is_host(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    match inner.or(text.contains(':').then_some(text)) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !text.is_empty() && !text.contains(['/', ' ', '@', '#', '?']),
    }
}

fn name(key: &str, name: &str, reader: &mut Reader<'_>) {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let is_name = !name.is_empty() && name.chars().all(is_letter);
    if reader.config.has(key) && !is_name && !name.contains("${") {
        let told = Mistake::of(key, "is not a name of protobuf");
        reader.mistake(told.hint("expected package.Service and, apart from it, the method"));
    }
}

fn request(reader: &mut Reader<'_>) -> Option<Json> {
    const KEY: &str = "grpc.request.message";
    reader.pass_over(KEY);
    let text = reader.config.get(KEY)?.trim().to_owned();
    if text.is_empty() || text == "{}" {
        return None;
    }
    let told = match serde_json::from_str::<Json>(&text) {
        Ok(Json::Object(_)) => None,
        Ok(_) => Some("is JSON, and no object".to_owned()),
        Err(_) if has_any(&text) => Some("has a reference outside of a text".to_owned()),
        Err(error) => Some(format!("is not valid JSON: {error}")),
    };
    if let Some(told) = told {
        let told = Mistake::of(KEY, told);
        reader.mistake(told.hint("expected the request as a JSON object, as in {\"site\":\"a\"}"));
        return None;
    }
    let mut request: Json = serde_json::from_str(&text).ok()?;
    convert_texts(&mut request, reader);
    Some(request)
}

/// References within the request's texts.
fn convert_texts(value: &mut Json, reader: &mut Reader<'_>) {
    match value {
        Json::String(text) => match converted(text) {
            Ok(converted) => *text = converted,
            Err(told) => {
                reader.mistake(Mistake { key: "grpc.request.message".to_owned(), ..told });
            }
        },
        Json::Array(items) => items.iter_mut().for_each(|item| convert_texts(item, reader)),
        Json::Object(map) => {
            if map.keys().any(|name| has_any(name)) {
                let told = Mistake::of("grpc.request.message", "a field's name has a reference");
                reader.mistake(told.hint("write the name itself; values may have references"));
            }
            map.values_mut().for_each(|item| convert_texts(item, reader));
        }
        _ => {}
    }
}

fn tls(is_secure: bool, reader: &mut Reader<'_>) -> Map<String, Json> {
    let keys = [
        ("grpc.tls.ca.cert", "ca_file"),
        ("grpc.tls.client.cert", "certificate_file"),
        ("grpc.tls.client.key", "key_file"),
    ];
    let mut tls = Map::new();
    for (theirs, ours) in keys {
        let Some(path) = reader.filled(theirs) else { continue };
        if is_secure {
            tls.insert(ours.to_owned(), json!(path));
        } else {
            let told = "has no effect without grpc.tls.enabled, as before".to_owned();
            reader.note(theirs, told);
        }
    }
    let has = |key: &str| tls.contains_key(key);
    if has("certificate_file") != has("key_file") {
        let (given, missing) = match has("key_file") {
            true => ("grpc.tls.client.key", "grpc.tls.client.cert"),
            false => ("grpc.tls.client.cert", "grpc.tls.client.key"),
        };
        let told = Mistake::of(given, format!("means nothing without {missing}"));
        reader.mistake(told.hint("give certificate and key, or neither"));
    }
    tls
}

fn topic(reader: &mut Reader<'_>) -> Topic {
    const KEY: &str = "kafka.topic";
    let name = reader.text(KEY).unwrap_or_default();
    let is_reference = reader.config.get(KEY).is_some_and(has_any);
    if reader.config.has(KEY) && !is_reference && !is_topic_name(&name) {
        let told = Mistake::of(KEY, "is not a topic's name");
        reader.mistake(told.hint("expected up to 249 letters, digits, `.`, `_` and `-`"));
    }
    Topic { name, is_reference }
}

/// Whether Kafka lets a topic have the name.
pub(super) fn is_topic_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_short = (1..=TOPIC_BYTES_MAX).contains(&name.len());
    is_short && name.chars().all(is_letter) && ![".", ".."].contains(&name)
}

fn keepalive(reader: &mut Reader<'_>) -> Option<(Number, Number)> {
    const KEY: &str = "grpc.keepalive.time.ms";
    let timeout = reader.bounded("grpc.keepalive.timeout.ms", 10_000, PONG_MS);
    if matches!(reader.number(KEY), Some(Number::Known(time)) if time <= 0) {
        let told =
            "asks for no pings; a dead connection would never be noticed, so there is one a \
                    day"
            .to_owned();
        reader.note(KEY, told);
        return Some((Number::Known(PING_MS.1), timeout));
    }
    Some((reader.bounded(KEY, 30_000, PING_MS), timeout))
}

fn message_bytes_max(reader: &mut Reader<'_>) -> Number {
    const KEY: &str = "grpc.max.inbound.message.size";
    if matches!(reader.number(KEY), Some(Number::Known(size)) if size < 0) {
        let told = Mistake::of(KEY, "is negative, so no message could be received");
        reader.mistake(told.hint("expected bytes, for example 4194304"));
    }
    reader.bounded(KEY, 4_194_304, MESSAGE_BYTES)
}

fn reconnect(reader: &mut Reader<'_>) -> Reconnect {
    let is_enabled = reader.flag("grpc.reconnect.enabled", true);
    let min_ms = reader.bounded("grpc.reconnect.interval.ms", 5_000, BACKOFF_MS);
    let max_ms = reader.bounded("grpc.reconnect.backoff.max.ms", 60_000, BACKOFF_MS);
    let attempts_max = match reader.number("grpc.reconnect.max.attempts") {
        Some(Number::Known(attempts)) if attempts <= 0 => None,
        attempts => attempts,
    };
    if !is_enabled {
        return Reconnect::Never;
    }
    let min_ms = match (&min_ms, &max_ms) {
        (Number::Known(min), Number::Known(max)) => Number::Known(*min.min(max)),
        _ => min_ms,
    };
    Reconnect::After { min_ms, max_ms, attempts_max }
}

fn note_queue(reader: &mut Reader<'_>) {
    const KEY: &str = "grpc.message.queue.size";
    if reader.number(KEY).is_some() {
        let told =
            "has no effect: what is received is bounded by bytes (memory.credit_bytes), and \
                    nothing is dropped"
                .to_owned();
        reader.note(KEY, told);
    }
}
