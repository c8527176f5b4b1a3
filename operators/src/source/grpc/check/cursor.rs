//! The cursor's components: where each comes from, and what its values can mean.
//!
//! Next: `resume.rs` asks whether they can do what the rules ask of them.

use super::super::config::{ComponentConfig, ComponentType, Reduce};
use super::super::cursor::Component;
use super::super::origin::{Origin, UnknownField};
use super::resume::Check;
use crate::limits::CURSOR_COMPONENTS_MAX;
use headwater_engine::spec::{Report, Step};
use headwater_proto::{FieldPath, LeafKind, MessageDescriptor, Method, PathError, SpreadPath};
use tonic::metadata::{AsciiMetadataKey, BinaryMetadataKey};

/// The highest field number of protobuf.
const FIELD_NUMBER_MAX: u32 = (1 << 29) - 1;

impl Check<'_, '_> {
    /// As many as the file names; none in the place of one that holds a mistake.
    pub(super) fn components(
        &self,
        method: Option<&Method>,
        report: &mut Report,
    ) -> Vec<Option<Component>> {
        let count = self.config.cursor.len();
        let place = self.view.at(&["resume", "cursor"]);
        if count == 0 {
            report
                .error(&place, "the cursor has no component")
                .hint("name one, for example `seq: { from: sequence }`");
        }
        if count > CURSOR_COMPONENTS_MAX {
            let message = format!("the cursor has {count} components, more than can be kept");
            report
                .error(&place, message)
                .detail(format!("expected: at most {CURSOR_COMPONENTS_MAX}"));
        }
        let output = method.map(Method::output);
        self.config
            .cursor
            .iter()
            .map(|(name, component)| {
                self.check_component_name(name, report);
                self.component(name, component, output.as_ref()?, report)
            })
            .collect()
    }

    fn check_component_name(&self, name: &str, report: &mut Report) {
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if name.is_empty() || !name.chars().all(is_word) {
            report
                .error(
                    &self.view.at_key(&["resume", "cursor", name]),
                    format!("{name:?} cannot name a cursor component"),
                )
                .detail("expected: letters, digits and `_`, for use as ${cursor.NAME}");
        }
    }

    fn component(
        &self,
        name: &str,
        config: &ComponentConfig,
        message: &MessageDescriptor,
        report: &mut Report,
    ) -> Option<Component> {
        let place = ["resume", "cursor", name];
        let origins: Vec<Option<Origin>> = (config.from.as_slice().iter().enumerate())
            .map(|(index, text)| {
                let at = path_steps(&place, index);
                self.origin(text, config.kind, message, &at, report)
            })
            .collect();
        let origins: Vec<Origin> = origins.into_iter().collect::<Option<_>>()?;
        let kind = self.kind(name, config, &origins, report)?;
        let is_max = self.is_max(name, config, kind, report)?;
        self.view.knows(&place).then_some(())?;
        Some(Component { name: name.to_owned(), origins, kind, is_max })
    }

    fn origin(
        &self,
        text: &str,
        kind: Option<ComponentType>,
        message: &MessageDescriptor,
        at: &[Step<'_>],
        report: &mut Report,
    ) -> Option<Origin> {
        if text.contains("[]") {
            return match SpreadPath::compile(message, text) {
                Ok(path) => Some(Origin::Newest(path)),
                Err(error) => self.refuse_path(error, at, report),
            };
        }
        let Some(special) = text.strip_prefix('@') else {
            return self.path(text, message, at, report).map(Origin::Field);
        };
        let found = match special.split_once(':') {
            Some(("unknown", number)) => unknown(number, kind, message),
            Some(("metadata", key)) => key_of(key).map(Origin::Header),
            Some(("trailer", key)) => key_of(key).map(Origin::Trailer),
            _ => Err("expected @unknown:NUMBER, @metadata:KEY or @trailer:KEY".to_owned()),
        };
        match found {
            Ok(origin) => Some(origin),
            Err(message) => {
                report.error(&self.view.at(at), message);
                None
            }
        }
    }

    pub(super) fn path(
        &self,
        text: &str,
        message: &MessageDescriptor,
        at: &[Step<'_>],
        report: &mut Report,
    ) -> Option<FieldPath> {
        match FieldPath::compile(message, text) {
            Ok(path) => Some(path),
            Err(error) => self.refuse_path(error, at, report),
        }
    }

    fn refuse_path<T>(&self, error: PathError, at: &[Step<'_>], report: &mut Report) -> Option<T> {
        let finding = report.error(&self.view.at(at), error.message);
        finding.detail(format!("at character {} of the path", error.column + 1));
        if let Some(hint) = error.hint {
            finding.hint(hint);
        }
        None
    }

    /// What the component's values mean: as declared, if the field can mean that.
    fn kind(
        &self,
        name: &str,
        config: &ComponentConfig,
        origins: &[Origin],
        report: &mut Report,
    ) -> Option<ComponentType> {
        let place = self.view.at(&["resume", "cursor", name, "from"]);
        let Some(first) = origins.first() else {
            report.error(&place, format!("cursor component {name:?} has no path"));
            return None;
        };
        if let Some(other) = origins.iter().find(|other| !is_same(first, other)) {
            let (kind, other_kind) = (first.leaf_kind(), other.leaf_kind());
            report
                .error(&place, format!("the paths of cursor component {name:?} differ in type"))
                .detail(format!("{first} is a {kind}, {other} is a {other_kind}"));
            return None;
        }
        let count = origins.iter().filter(|it| it.is_of_messages()).count();
        if count != 0 && count != origins.len() {
            report
                .error(&place, format!("cursor component {name:?} comes from messages and calls"))
                .detail("expected: either fields, or headers and trailers")
                .hint("make two components of it");
            return None;
        }
        let able = able_types(first);
        let Some(default) = able.first() else {
            let kind = first.leaf_kind();
            report
                .error(&place, format!("field {first} is a {kind}, which cannot resume"))
                .detail("expected: an integer, a timestamp, a text, bytes or a message");
            return None;
        };
        match config.kind {
            None => Some(*default),
            Some(kind) if able.contains(&kind) => Some(kind),
            Some(_) => {
                let expected: Vec<&str> = able.iter().map(|kind| type_name(*kind)).collect();
                let kind = first.leaf_kind();
                report
                    .error(
                        &self.view.at(&["resume", "cursor", name, "type"]),
                        format!("field {first} is a {kind} and has no such meaning"),
                    )
                    .detail(format!("expected: {}", expected.join(" or ")));
                None
            }
        }
    }

    fn is_max(
        &self,
        name: &str,
        config: &ComponentConfig,
        kind: ComponentType,
        report: &mut Report,
    ) -> Option<bool> {
        let is_max = config.reduce == Reduce::Max;
        let is_ordered = matches!(kind, ComponentType::Int | ComponentType::Timestamp);
        if is_max && !is_ordered && self.view.knows(&["resume", "cursor", name, "type"]) {
            report
                .error(
                    &self.view.at(&["resume", "cursor", name, "reduce"]),
                    "`reduce: max` needs values that have an order",
                )
                .detail("expected: a component of type int or timestamp");
            return None;
        }
        Some(is_max)
    }
}

/// Whether two origins give values of the same type.
pub(super) fn is_same(first: &Origin, other: &Origin) -> bool {
    let name = |origin: &Origin| origin.message().map(|message| message.full_name().to_owned());
    first.leaf_kind() == other.leaf_kind() && name(first) == name(other)
}

fn unknown(
    number: &str,
    kind: Option<ComponentType>,
    message: &MessageDescriptor,
) -> Result<Origin, String> {
    let parsed = number.parse().ok().filter(|number| (1..=FIELD_NUMBER_MAX).contains(number));
    let Some(number) = parsed else {
        return Err(format!("{number:?} is no field number, expected 1 to {FIELD_NUMBER_MAX}"));
    };
    if let Some(field) = message.get_field(number) {
        return Err(format!("field {number} is known, as {:?}: write its name", field.name()));
    }
    let is_number = kind == Some(ComponentType::Int);
    Ok(Origin::Unknown(UnknownField { number, is_number }))
}

fn key_of(key: &str) -> Result<String, String> {
    let key = key.to_ascii_lowercase();
    let is_valid = match key.ends_with("-bin") {
        true => BinaryMetadataKey::from_bytes(key.as_bytes()).is_ok(),
        false => AsciiMetadataKey::from_bytes(key.as_bytes()).is_ok(),
    };
    match is_valid {
        true => Ok(key),
        false => Err(format!(
            "{key:?} is not a valid metadata key; expected letters, digits, `-`, `_` and `.`"
        )),
    }
}

/// The place of a path; a lone one that is no list has no index, and the place is the same.
fn path_steps<'p>(place: &[&'p str; 3], index: usize) -> Vec<Step<'p>> {
    let keys = place.iter().map(|key| Step::Key(key));
    keys.chain([Step::Key("from"), Step::Index(index)]).collect()
}

/// What an origin's values can mean, the usual meaning first.
fn able_types(origin: &Origin) -> &'static [ComponentType] {
    use ComponentType::{Int, Message, Opaque, Timestamp};
    match origin.leaf_kind() {
        LeafKind::Int | LeafKind::Uint | LeafKind::Enum => &[Int, Opaque],
        LeafKind::Text | LeafKind::Bytes => &[Opaque],
        LeafKind::Message if origin.is_timestamp() => &[Timestamp, Opaque],
        LeafKind::Message => &[Message, Opaque],
        LeafKind::Bool | LeafKind::Float => &[],
    }
}

fn type_name(kind: ComponentType) -> &'static str {
    match kind {
        ComponentType::Int => "int",
        ComponentType::Timestamp => "timestamp",
        ComponentType::Opaque => "opaque",
        ComponentType::Message => "message",
    }
}
