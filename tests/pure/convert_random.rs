//! Goal: no configuration makes a validation or a translation panic, every mistake names a key,
//! what a validation refuses no translation takes, and what a translation writes is YAML whatever
//! the values are.
//! Method: random configurations of known keys and awkward values.

use crate::property::property;
use crate::validation::sound;
use headwater::connect::{Config, Worker, definitions, translate, validate};
use headwater_engine::spec::{Source, SystemVariables, load_or_outline};
use proptest::prelude::*;
use std::path::Path;

const CLASS: &str = "io.conduktor.connect.grpc.GrpcSourceConnector";

/// Values that mean something somewhere, and some that mean harm.
const VALUES: [&str; 35] = [
    "",
    " ",
    "1",
    "-1",
    "0",
    "99999999999999999999",
    "true",
    "false",
    "all",
    "required",
    "interval",
    "a,b",
    "a:b,c:d",
    "${env:PATH}",
    "${file:/a:b}",
    "${dir:/a:b}",
    "${none:x}",
    "${",
    "x$${env:PATH}",
    "$${env:X}",
    "a: b\nsources: {}",
    "# comment",
    "\"quoted\" 'text'",
    "- item",
    "{\"a\": [1, null, \"${env:PATH}\"]}",
    "\u{0}\u{7}",
    "é世🦀",
    "&anchor *alias !tag",
    "org.apache.kafka.connect.json.JsonConverter",
    "org.apache.kafka.connect.transforms.HoistField$Value",
    "org.apache.kafka.connect.transforms.ValueToKey",
    "org.apache.kafka.connect.transforms.RegexRouter",
    "org.apache.kafka.connect.transforms.Filter",
    "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
    "(.*)$1[",
];

fn keys() -> Vec<String> {
    let listed = definitions(CLASS, &Worker::default()).expect("the connector is known");
    let mut keys: Vec<String> = listed.into_iter().map(|key| key.name).collect();
    let dynamic = [
        "transforms.a.type",
        "transforms.a.field",
        "transforms.a.fields",
        "transforms.a.predicate",
        "transforms.a.negate",
        "transforms.a.regex",
        "transforms.a.replacement",
        "transforms.b.type",
        "transforms.b.spec",
        "predicates.b.type",
        "predicates.a.pattern",
        "grpc.metadata.x",
        "grpc.metadata.",
        "topic.creation.default.partitions",
        "topic.creation.a.include",
        "topic.creation.default.replication.factor",
        "producer.override.linger.ms",
        "producer.override.sasl.jaas.config",
        "errors.deadletterqueue.topic.name",
        "value.converter.schemas.enable",
        "key.converter.x",
        "consumer.override.x",
        "config.providers",
        "unknown",
        "",
    ];
    keys.extend(dynamic.map(str::to_owned));
    keys
}

fn configurations() -> impl Strategy<Value = Vec<(usize, Option<String>)>> {
    let value = prop_oneof![
        8 => (0..VALUES.len()).prop_map(|pick| Some(VALUES[pick].to_owned())),
        2 => "\\PC{0,12}".prop_map(Some),
        1 => Just(None),
    ];
    prop::collection::vec((0..keys().len(), value), 0..14)
}

fn judge(config: &Config, keys: &[String]) -> Result<(), String> {
    let worker = Worker::default();
    let answer = validate(config, &worker);
    let told: usize = answer.configs.iter().map(|it| it.value.errors.len()).sum();
    if told != answer.error_count {
        return Err("errors are counted wrong".to_owned());
    }
    let made = match translate(config, &worker) {
        Ok(made) => {
            let is_later = |name: &str| config.get(name).is_some_and(|it| it.contains("${"));
            let refused = answer.configs.iter().map(|it| &it.value);
            let mut refused = refused.filter(|it| !it.errors.is_empty() && !is_later(&it.name));
            if let Some(refused) = refused.next() {
                return Err(format!("taken, though a validation refuses it: {refused:?}"));
            }
            made
        }
        Err(mistakes) if mistakes.is_empty() => return Err("refused for nothing".to_owned()),
        Err(mistakes) => {
            let known = |key: &str| config.has(key) || keys.iter().any(|it| it == key);
            let nameless = mistakes.iter().find(|it| {
                let key = it.key.as_str();
                !known(key)
                    && !answer.configs.iter().any(|it| it.value.name == key)
                    && !key.starts_with("topic.creation.")
                    && !key.starts_with("transforms.")
                    && !key.starts_with("predicates.")
            });
            return nameless.map_or(Ok(()), |it| Err(format!("no key: {it:?}")));
        }
    };
    let source = Source { name: "made", text: &made.text, base_dir: Path::new(".") };
    let registry = headwater_operators::registry();
    match load_or_outline(&source, &registry, &SystemVariables, &|_| {}) {
        Err(mistakes) if mistakes.iter().any(|it| is_malformed(&it.message)) => {
            Err(format!("{}\n{}", mistakes.render(false), made.text))
        }
        _ => Ok(()),
    }
}

/// Whether a value broke out of the place that it was written into.
fn is_malformed(message: &str) -> bool {
    let signs = ["not YAML", "stands twice", "a second document", "is not known", "is not a `!!"];
    signs.iter().any(|sign| message.contains(sign))
}

#[test]
fn no_configuration_is_too_odd() {
    let keys = keys();
    property!("convert-random", 1.0, 5).holds(&configurations(), |pairs| {
        let mut config = sound();
        for (key, value) in pairs {
            config.set(keys[key].clone(), value);
        }
        judge(&config, &keys)
    });
}
