//! Properties of the Kafka client: Java's names and formats → librdkafka's.
//!
//! Those that would break the guarantee are refused, as the sink refuses them; those that say how
//! Java stores keys and certificates are taken over where librdkafka can read the same file.
//!
//! A worker's own properties come here as well. There, what is not known is passed over with a
//! note, unless it is about security: a connection must not become less secure by a conversion.

use super::reader::Reader;
use crate::connect::kind::trim;
use crate::connect::mistake::Mistake;
use crate::connect::references::{converted, has_any};
use std::collections::BTreeMap;

/// What the sink's client is set up with.
#[derive(Default)]
pub(super) struct Client {
    /// Bootstrap servers of the connector alone.
    pub(super) brokers: Option<String>,
    /// The sink's `transaction_timeout_ms`.
    pub(super) transaction_timeout_ms: Option<String>,
    /// The sink's `properties`.
    pub(super) properties: BTreeMap<String, String>,
}

/// What a property comes to.
enum Taken {
    /// Properties of librdkafka.
    As(Vec<(String, String)>),
    /// Bootstrap servers.
    Brokers(String),
    /// A key of the sink.
    TransactionTimeout(String),
    /// What is so anyway.
    Already,
    /// It says nothing here, or asks for less than there is anyway.
    Needless(&'static str),
    /// It cannot be taken.
    Refused(String, String),
}

const OVERRIDE: &str = "producer.override.";

pub(super) fn read(reader: &mut Reader<'_>) -> Client {
    let mut client = Client::default();
    let worker = &reader.worker.producer;
    let keys = reader.keys_from(OVERRIDE);
    let own: BTreeMap<String, String> = keys
        .iter()
        .filter_map(|key| {
            let value = trim(reader.config.get(key)?).to_owned();
            Some((key[OVERRIDE.len()..].to_owned(), value))
        })
        .collect();
    // What counts is decided by all of them together: a worker's store, a connector's type of it.
    let mut all = worker.clone();
    all.extend(own.clone());
    for (key, value) in worker.iter().filter(|(key, _)| !own.contains_key(*key)) {
        take(&mut client, key, (key, value), &all, reader);
    }
    for key in &keys {
        reader.pass_over(key);
        let name = &key[OVERRIDE.len()..];
        if let Some(value) = own.get(name) {
            take(&mut client, key, (name, value), &all, reader);
        }
    }
    client
}

fn take(
    client: &mut Client,
    key: &str,
    (name, value): (&str, &str),
    all: &BTreeMap<String, String>,
    reader: &mut Reader<'_>,
) {
    let is_override = key.starts_with(OVERRIDE);
    let is_open_secret = is_secret(name) && !has_any(value);
    let value = match converted(value) {
        Ok(value) => value,
        Err(told) => return reader.mistake(Mistake { key: key.to_owned(), ..told }),
    };
    match taken(name, &value, all) {
        Taken::As(properties) => {
            client.properties.extend(properties);
            if is_open_secret {
                let told = "the secret stands in the file as it stood in the configuration; a \
                            reference such as ${env:NAME} keeps it out";
                reader.note(key, told.to_owned());
            }
        }
        Taken::Brokers(brokers) => client.brokers = Some(brokers),
        Taken::TransactionTimeout(ms) if ms.parse::<u32>().is_ok() => {
            client.transaction_timeout_ms = Some(ms);
        }
        Taken::TransactionTimeout(_) => {
            let told = Mistake::of(key, "is not a number of milliseconds");
            reader.mistake(told.hint("expected a number from 10000 to 900000"));
        }
        Taken::Already => {}
        Taken::Needless(told) => {
            let key = if is_override { key.to_owned() } else { format!("worker: {key}") };
            reader.note(&key, format!("has no effect: {told}"));
        }
        Taken::Refused(told, hint) => {
            let is_security = ["ssl.", "sasl.", "security."].iter().any(|it| name.starts_with(it));
            if is_override || is_security {
                reader.mistake(Mistake::of(key, told).hint(hint));
            } else {
                reader.note(&format!("worker: {key}"), format!("is not taken over: {told}"));
            }
        }
    }
}

fn is_secret(name: &str) -> bool {
    name.ends_with("password") || matches!(name, "sasl.jaas.config" | "ssl.keystore.key")
}

/// Properties that have the same name and meaning.
const SAME: [&str; 18] = [
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.type",
    "linger.ms",
    "metadata.max.age.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.service.name",
    "security.protocol",
    "socket.connection.setup.timeout.ms",
    "ssl.key.password",
    "batch.size",
];

/// Properties with another name.
const RENAMED: [(&str, &str); 6] = [
    ("max.request.size", "message.max.bytes"),
    ("sasl.mechanism", "sasl.mechanisms"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
    ("sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.token.endpoint.url"),
];

fn taken(name: &str, value: &str, all: &BTreeMap<String, String>) -> Taken {
    let one = |name: &str| Taken::As(vec![(name.to_owned(), value.to_owned())]);
    if SAME.contains(&name) {
        return one(name);
    }
    if let Some((_, ours)) = RENAMED.iter().find(|(theirs, _)| *theirs == name) {
        return one(ours);
    }
    if let Some(told) = needless(name) {
        return Taken::Needless(told);
    }
    match name {
        "bootstrap.servers" => Taken::Brokers(value.to_owned()),
        "transaction.timeout.ms" => Taken::TransactionTimeout(value.to_owned()),
        "acks" if matches!(value, "all" | "-1") => Taken::Already,
        "acks" => Taken::Needless("a record counts as written only when all replicas have it"),
        "enable.idempotence" if value.eq_ignore_ascii_case("true") => Taken::Already,
        "enable.idempotence" => Taken::Needless("no retry may write a record twice"),
        "compression.gzip.level" | "compression.lz4.level" | "compression.zstd.level" => {
            level(name, value, all)
        }
        "sasl.jaas.config" => jaas(value),
        "send.buffer.bytes" => or_none("socket.send.buffer.bytes", value),
        "receive.buffer.bytes" => or_none("socket.receive.buffer.bytes", value),
        "connections.max.idle.ms" => or_none(name, value),
        _ if name.starts_with("ssl.") => store(name, value, all),
        _ => refused(name),
    }
}

/// What asks for less than there is anyway, or for what something else decides.
fn needless(name: &str) -> Option<&'static str> {
    Some(match name {
        "retries" | "delivery.timeout.ms" | "max.block.ms" => {
            "a record that is given up would be a silent gap; it is tried for as long as it takes"
        }
        "max.in.flight.requests.per.connection" => "idempotence keeps the order",
        "buffer.memory" => "memory.credit_bytes of the pipeline file bounds what is on its way",
        "partitioner.ignore.keys"
        | "partitioner.adaptive.partitioning.enable"
        | "partitioner.availability.timeout.ms" => "`partition` of the sink says where records go",
        "metadata.max.idle.ms" | "metadata.recovery.strategy" => "the sink's client decides it",
        "enable.metrics.push"
        | "metrics.num.samples"
        | "metrics.recording.level"
        | "metrics.sample.window.ms"
        | "auto.include.jmx.reporter" => "docs/METRICS.md lists what is measured",
        _ => return None,
    })
}

/// A number that leaves something to the system or for ever: Java's is negative, librdkafka's 0.
fn or_none(name: &str, value: &str) -> Taken {
    let value = if value.starts_with('-') { "0" } else { value };
    Taken::As(vec![(name.to_owned(), value.to_owned())])
}

/// The level of the compression that is chosen.
fn level(name: &str, value: &str, all: &BTreeMap<String, String>) -> Taken {
    let codec = name.split('.').nth(1).unwrap_or_default();
    match all.get("compression.type").is_some_and(|chosen| chosen == codec) {
        true => Taken::As(vec![("compression.level".to_owned(), value.to_owned())]),
        false => Taken::Needless("compression.type is another one"),
    }
}

fn refused(name: &str) -> Taken {
    let (told, hint) = match name {
        "transactional.id" => (
            "the sink names its producers itself",
            "leave it out; `transactional_id_prefix` in the pipeline file is how names begin",
        ),
        "partitioner.class" => (
            "classes cannot be loaded",
            "leave it out; `partition` in the pipeline file has key, shard and spread",
        ),
        "interceptor.classes" | "metric.reporters" => ("classes cannot be loaded", "leave it out"),
        "key.serializer" | "value.serializer" => {
            ("converters say how records are written", "leave it out")
        }
        _ => (
            "the sink's client has no such property",
            "leave it out; what it has can stand under `properties` in the pipeline file",
        ),
    };
    Taken::Refused(told.to_owned(), hint.to_owned())
}

/// User and password of the login modules that are texts.
fn jaas(value: &str) -> Taken {
    let modules = ["PlainLoginModule", "ScramLoginModule"];
    let user = option(value, "username");
    let password = option(value, "password");
    match (modules.iter().any(|module| value.contains(module)), user, password) {
        (true, Some(user), Some(password)) => Taken::As(vec![
            ("sasl.username".to_owned(), user),
            ("sasl.password".to_owned(), password),
        ]),
        _ => Taken::Refused(
            "only PlainLoginModule and ScramLoginModule with username and password are known"
                .to_owned(),
            "leave it out, and set librdkafka's sasl.* properties in the pipeline file".to_owned(),
        ),
    }
}

/// The text of `name="…"`, in either kind of quotes.
fn option(jaas: &str, name: &str) -> Option<String> {
    let at = jaas.find(&format!("{name}="))? + name.len() + 1;
    let rest = &jaas[at..];
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let mut text = String::new();
    let mut letters = rest[1..].chars();
    loop {
        match letters.next()? {
            '\\' => text.push(letters.next()?),
            letter if letter == quote => return Some(text),
            letter => text.push(letter),
        }
    }
}

/// Stores of keys and certificates.
fn store(name: &str, value: &str, all: &BTreeMap<String, String>) -> Taken {
    let of = |key: &str| all.get(key).map_or("JKS", String::as_str);
    let one = |name: &str| Taken::As(vec![(name.to_owned(), value.to_owned())]);
    let pem = |store: &str| of(store).eq_ignore_ascii_case("PEM");
    let pkcs12 = |store: &str| of(store).eq_ignore_ascii_case("PKCS12");
    match name {
        "ssl.truststore.type" | "ssl.keystore.type" => Taken::Already,
        "ssl.endpoint.identification.algorithm" => match value {
            "" => Taken::As(vec![(name.to_owned(), "none".to_owned())]),
            _ => one(name),
        },
        "ssl.truststore.location" if pem("ssl.truststore.type") => one("ssl.ca.location"),
        "ssl.keystore.location" if pem("ssl.keystore.type") => Taken::As(vec![
            ("ssl.certificate.location".to_owned(), value.to_owned()),
            ("ssl.key.location".to_owned(), value.to_owned()),
        ]),
        "ssl.keystore.location" | "ssl.keystore.password" if pkcs12("ssl.keystore.type") => {
            one(name)
        }
        "ssl.keystore.password" if pem("ssl.keystore.type") => Taken::Already,
        "ssl.truststore.password" if pem("ssl.truststore.type") => Taken::Already,
        "ssl.truststore.location"
        | "ssl.keystore.location"
        | "ssl.truststore.password"
        | "ssl.keystore.password" => Taken::Refused(
            "a Java key store cannot be read".to_owned(),
            "export it as PEM and set ssl.truststore.type (ssl.keystore.type) to PEM".to_owned(),
        ),
        "ssl.protocol" | "ssl.enabled.protocols" | "ssl.provider" => Taken::Refused(
            "the TLS library decides it".to_owned(),
            "leave it out: TLS 1.2 and newer are spoken".to_owned(),
        ),
        "ssl.cipher.suites" => Taken::Refused(
            "its names are Java's".to_owned(),
            "leave it out; OpenSSL's names can stand under `properties` in the pipeline file"
                .to_owned(),
        ),
        _ => refused(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_passwords_are_found_in_jaas_texts() {
        let text = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                    username=\"a\" password='b\\'c';";
        let Taken::As(found) = jaas(text) else { panic!("it is known") };
        let expected = [("sasl.username", "a"), ("sasl.password", "b'c")];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert!(matches!(jaas("com.sun.security.auth.module.Krb5LoginModule"), Taken::Refused(..)));
    }
}
