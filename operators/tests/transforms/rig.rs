//! Transforms as they run in a pipeline, between nodes that only have a type.

use headwater_engine::dataflow::step::{Step, StepFactory};
use headwater_engine::ids::{Sequence, Session, ShardIndex, ShardKey};
use headwater_engine::record::{Batch, Packed, ReceivedAt, Values};
use headwater_engine::shards::{ShardEntry, ShardTable};
use headwater_engine::spec::{
    Checked, Encoding, KindEntry, Registry, Role, Source, StreamType, SystemVariables, load,
    schema_of,
};
use headwater_operators::transform::fields::operator::FieldsFactory;
use headwater_operators::transform::{FieldsTransform, fields};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// When the records of a rig are received: as the oracle says it.
pub const RECEIVED_UNIX_MS: i64 = 1_700_000_000_123;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    fn gives(encoding: Encoding) -> Option<Checked> {
        let output = StreamType { encoding, name: "m".to_owned(), schema: None };
        Some(Checked::new((), output))
    }
    let kind = |role, check| KindEntry {
        role,
        name: "test",
        summary: "Stands for a node beside the transform.",
        schema: schema_of::<Nothing>,
        check,
    };
    Registry::new([
        kind(Role::Source, |_, _| gives(Encoding::Messages)),
        kind(Role::Decoder, |_, _| gives(Encoding::Json)),
        fields::entry(),
        kind(Role::Sink, |_, _| Some(Checked::sink(()))),
    ])
});

/// The steps as a transform that sets aside what it cannot change.
pub fn step(steps: &Json) -> Box<dyn Step> {
    sound_step(steps).unwrap_or_else(|told| panic!("{told}"))
}

/// The same, or what is told of steps that are a mistake.
pub fn sound_step(steps: &Json) -> Result<Box<dyn Step>, String> {
    let fields =
        json!({ "kind": "fields", "from": "d", "on_error": "dead_letter", "steps": steps });
    let text = format!(
        "pipeline: p\nsources: {{ s: {{ kind: test }} }}\ndecoders: {{ d: {{ kind: test, from: s }} \
         }}\ntransforms:\n  t: {fields}\nsinks: {{ out: {{ kind: test, from: t }} }}\n"
    );
    let source = Source { name: "case.yaml", text: &text, base_dir: Path::new(".") };
    let loaded = load(&source, &REGISTRY, &SystemVariables);
    let (plan, _) = loaded.map_err(|mistakes| mistakes.to_string())?;
    let transform = plan.node("t").unwrap().config::<FieldsTransform>().clone();
    let key = ShardKey("events/a".to_owned());
    let entry = ShardEntry { key, fingerprint: String::new() };
    let shards = ShardTable::new([entry]);
    Ok(FieldsFactory { node: Arc::from("t"), transform, shards }.make())
}

/// A batch of these values, of which none is an empty one.
pub fn batch(values: &[&str]) -> Batch {
    let mut packed = Packed::default();
    values.iter().for_each(|value| packed.push(value.as_bytes()));
    Batch {
        shard: ShardIndex(0),
        session: Session(1),
        first: Sequence(0),
        end: Sequence(values.len() as u64),
        received: ReceivedAt { monotonic_ns: 0, unix_ms: RECEIVED_UNIX_MS },
        kept: None,
        values: Values::Packed(Arc::new(packed)),
        columns: Vec::new(),
        dead: Vec::new(),
        gaps: Vec::new(),
        position: None,
        credit_bytes: 0,
    }
}

/// What becomes of one value: a value, a tombstone, or a dead letter with its reason.
pub fn outcome(step: &mut dyn Step, value: &str) -> Result<Option<String>, String> {
    let mut batch = batch(&[value]);
    step.apply(&mut batch).unwrap();
    match (batch.values.iter().next(), batch.dead.first()) {
        (Some(value), None) => {
            let text = std::str::from_utf8(value).unwrap();
            Ok((!text.is_empty()).then(|| text.to_owned()))
        }
        (None, Some(dead)) => Err(dead.reason.clone()),
        both => panic!("{both:?}"),
    }
}
