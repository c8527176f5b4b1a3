//! Presets: what resumes known APIs, as a pipeline file would say it.
//!
//! Each is a YAML file beside this one, with the reasons as comments: what the server promises,
//! what it must keep, and what is not exact. `headwater presets NAME` prints it. None names a
//! server or its types, and each has a test against a fake that is made from the API's public
//! interface (`operators/tests/presets/`).
//!
//! Next: `engine/src/spec/preset.rs` merges them.

use headwater_engine::spec::Preset;

macro_rules! presets {
    ($($name:literal),+ $(,)?) => {
        &[$(Preset { name: $name, text: include_str!(concat!($name, ".yaml")) }),+]
    };
}

/// All presets of the gRPC source, by name.
pub const PRESETS: &[Preset] = presets![
    "aptos",
    "etcd-watch",
    "firehose",
    "flow-events",
    "gnmi",
    "google-pubsub",
    "hubble-flows",
    "kurrentdb",
    "kurrentdb-stream",
    "lnd-invoices",
    "salesforce-pubsub",
    "spicedb-watch",
    "substreams",
    "vitess-vstream",
    "yellowstone",
];

/// The preset that is for this method, `package.Service/Method`, if there is one.
#[must_use]
pub fn preset_for(method: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.keys()["method"] == method)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    #[test]
    fn each_is_for_a_method_and_says_so() {
        for preset in PRESETS {
            let keys = preset.keys();
            assert!(keys["method"].as_str().is_some_and(|it| it.contains('/')), "{}", preset.name);
            assert!(preset.summary().len() > 20, "{}", preset.name);
            // Whose server it is, and where the types come from, the file says.
            for key in ["kind", "endpoint", "endpoints", "descriptors", "auth", "tls"] {
                assert!(keys.get(key).is_none(), "{}: {key}", preset.name);
            }
            // Metadata may say how a call is to be served, and not who calls.
            let metadata = keys.get("metadata").and_then(Json::as_object);
            let mut names = metadata.into_iter().flatten().map(|(name, _)| name.as_str());
            assert!(names.all(|name| name == "hasleader"), "{}", preset.name);
        }
        assert!(PRESETS.is_sorted_by(|one, next| one.name < next.name));
    }

    #[test]
    fn a_method_finds_its_preset() {
        let found = preset_for("event_store.client.streams.Streams/Read").map(|it| it.name);
        assert_eq!(found, Some("kurrentdb"));
        assert!(preset_for("bench.v1.Telemetry/Subscribe").is_none());
    }
}
