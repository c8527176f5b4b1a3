//! The classes that a configuration may name beside the connector's own: Kafka Connect's
//! converters, transformations and predicates, with their keys.
//!
//! A validation knows all of them, as a worker of Kafka Connect does. Which of them Headwater can
//! stand for, `translate/` says.
//!
//! Next: `keys.rs`.

mod keys;

use super::definition::connector;
pub(super) use keys::{chain_keys, converter_keys, converter_keys_validated};

/// What a class is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A source connector.
    Source,
    /// Turns keys or values into bytes.
    Converter,
    /// Turns headers into bytes.
    HeaderConverter,
    /// Changes records.
    Transformation,
    /// Says what a transformation applies to.
    Predicate,
}

impl Role {
    /// The word for it in Connect's answers.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Converter => "converter",
            Role::HeaderConverter => "header_converter",
            Role::Transformation => "transformation",
            Role::Predicate => "predicate",
        }
    }

    /// The interface's name in Connect's errors.
    pub(super) const fn interface(self) -> &'static str {
        match self {
            Role::Source => "Connector",
            Role::Converter => "Converter",
            Role::HeaderConverter => "HeaderConverter",
            Role::Transformation => "Transformation",
            Role::Predicate => "Predicate",
        }
    }
}

const TRANSFORMS: &str = "org.apache.kafka.connect.transforms.";

/// Converters; all of them convert headers too.
const CONVERTERS: [&str; 9] = [
    "org.apache.kafka.connect.converters.BooleanConverter",
    "org.apache.kafka.connect.converters.ByteArrayConverter",
    "org.apache.kafka.connect.converters.DoubleConverter",
    "org.apache.kafka.connect.converters.FloatConverter",
    "org.apache.kafka.connect.converters.IntegerConverter",
    "org.apache.kafka.connect.converters.LongConverter",
    "org.apache.kafka.connect.converters.ShortConverter",
    JSON_CONVERTER,
    STRING_CONVERTER,
];

/// Header converters, in the order in which they are listed.
const HEADER_CONVERTERS: [&str; 10] = [
    "org.apache.kafka.connect.converters.BooleanConverter",
    "org.apache.kafka.connect.converters.ByteArrayConverter",
    "org.apache.kafka.connect.converters.DoubleConverter",
    "org.apache.kafka.connect.converters.FloatConverter",
    "org.apache.kafka.connect.converters.IntegerConverter",
    "org.apache.kafka.connect.converters.LongConverter",
    "org.apache.kafka.connect.converters.ShortConverter",
    JSON_CONVERTER,
    SIMPLE_HEADER_CONVERTER,
    STRING_CONVERTER,
];

pub(super) const JSON_CONVERTER: &str = "org.apache.kafka.connect.json.JsonConverter";
pub(super) const STRING_CONVERTER: &str = "org.apache.kafka.connect.storage.StringConverter";
pub(super) const BYTES_CONVERTER: &str = "org.apache.kafka.connect.converters.ByteArrayConverter";
pub(super) const SIMPLE_HEADER_CONVERTER: &str =
    "org.apache.kafka.connect.storage.SimpleHeaderConverter";

/// Transformations, in the order in which they are listed.
const TRANSFORMATIONS: [&str; 26] = [
    "org.apache.kafka.connect.transforms.Cast$Key",
    "org.apache.kafka.connect.transforms.Cast$Value",
    "org.apache.kafka.connect.transforms.DropHeaders",
    "org.apache.kafka.connect.transforms.ExtractField$Key",
    "org.apache.kafka.connect.transforms.ExtractField$Value",
    "org.apache.kafka.connect.transforms.Filter",
    "org.apache.kafka.connect.transforms.Flatten$Key",
    "org.apache.kafka.connect.transforms.Flatten$Value",
    "org.apache.kafka.connect.transforms.HeaderFrom$Key",
    "org.apache.kafka.connect.transforms.HeaderFrom$Value",
    "org.apache.kafka.connect.transforms.HoistField$Key",
    "org.apache.kafka.connect.transforms.HoistField$Value",
    "org.apache.kafka.connect.transforms.InsertField$Key",
    "org.apache.kafka.connect.transforms.InsertField$Value",
    "org.apache.kafka.connect.transforms.InsertHeader",
    "org.apache.kafka.connect.transforms.MaskField$Key",
    "org.apache.kafka.connect.transforms.MaskField$Value",
    "org.apache.kafka.connect.transforms.RegexRouter",
    "org.apache.kafka.connect.transforms.ReplaceField$Key",
    "org.apache.kafka.connect.transforms.ReplaceField$Value",
    "org.apache.kafka.connect.transforms.SetSchemaMetadata$Key",
    "org.apache.kafka.connect.transforms.SetSchemaMetadata$Value",
    "org.apache.kafka.connect.transforms.TimestampConverter$Key",
    "org.apache.kafka.connect.transforms.TimestampConverter$Value",
    "org.apache.kafka.connect.transforms.TimestampRouter",
    "org.apache.kafka.connect.transforms.ValueToKey",
];

/// Predicates.
const PREDICATES: [&str; 3] = [
    "org.apache.kafka.connect.transforms.predicates.HasHeaderKey",
    "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
    "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
];

/// The classes of a role, in the order in which Connect lists them.
pub(super) fn names(role: Role) -> impl Iterator<Item = &'static str> {
    let names: &[&str] = match role {
        Role::Source => &[connector::CLASS],
        Role::Converter => &CONVERTERS,
        Role::HeaderConverter => &HEADER_CONVERTERS,
        Role::Transformation => &TRANSFORMATIONS,
        Role::Predicate => &PREDICATES,
    };
    names.iter().copied()
}

/// All classes with what they are for, in the order in which Connect lists them.
pub(super) fn all() -> Vec<(&'static str, Role)> {
    let roles = [
        Role::Source,
        Role::Transformation,
        Role::Predicate,
        Role::Converter,
        Role::HeaderConverter,
    ];
    roles.into_iter().flat_map(|role| names(role).map(move |name| (name, role))).collect()
}

/// The full name of a class that is given by its full name or by an alias, or of one that is the
/// base of others.
pub(super) fn class(name: &str) -> Option<&'static str> {
    let full = all().into_iter().map(|(full, _)| full).find(|full| *full == name);
    full.or_else(|| alias(name)).or_else(|| bases().find(|base| *base == name))
}

/// The class behind a short name. Inner classes have none.
fn alias(name: &str) -> Option<&'static str> {
    if connector::ALIASES.contains(&name) {
        return Some(connector::CLASS);
    }
    let suffixes = ["", "HeaderConverter", "Converter", "Transformation", "Predicate"];
    let is_it = |full: &str| {
        let simple = full.rsplit('.').next().unwrap_or(full);
        !simple.contains('$')
            && suffixes.iter().any(|suffix| simple.strip_suffix(suffix) == Some(name))
    };
    all().into_iter().map(|(full, _)| full).find(|full| is_it(full))
}

/// Abstract classes, by what those that extend them begin with.
fn bases() -> impl Iterator<Item = &'static str> {
    TRANSFORMATIONS.iter().filter_map(|name| Some(name.split_once('$')?.0))
}

/// What can be used instead of an abstract class; empty for one that is none.
pub(super) fn extending(base: &str) -> Vec<&'static str> {
    let is_it = |name: &&str| name.split_once('$').is_some_and(|(it, _)| it == base);
    TRANSFORMATIONS.iter().copied().filter(is_it).collect()
}

/// Whether the class is of the role.
pub(super) fn is(class: &str, role: Role) -> bool {
    names(role).any(|name| name == class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_answer_to_the_names_that_connect_gives_them() {
        assert_eq!(class("GrpcSource"), Some(connector::CLASS));
        assert_eq!(class("StringConverter"), Some(STRING_CONVERTER));
        assert_eq!(class("ByteArray"), Some(BYTES_CONVERTER));
        assert_eq!(class("RegexRouter"), Some("org.apache.kafka.connect.transforms.RegexRouter"));
        assert_eq!(class("HoistField$Value"), None);
        assert_eq!(class("org.example.None"), None);
        assert_eq!(extending("org.apache.kafka.connect.transforms.HoistField").len(), 2);
    }
}
