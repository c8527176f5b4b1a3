//! Which fields the JSON of a message can have, followed step by step, so that a misspelt name
//! comes out when the file is checked.
//!
//! What cannot be known (the entries of a map, a `google.protobuf.Struct`, extensions) is not
//! judged.

use headwater_proto::MessageDescriptor;
use headwater_proto::nearest::nearest_few;
use std::collections::BTreeMap;

/// What is known of a value.
#[derive(Clone, Debug, Default)]
pub(super) enum Known {
    /// Nothing: it may be any JSON.
    #[default]
    Anything,
    /// An object with no other fields than these.
    Object(Object),
    /// No object.
    Scalar,
}

/// The fields that an object can have.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// By name; none for a field that is what `message` says.
    fields: BTreeMap<String, Option<Known>>,
    /// The message that it is the JSON of, or was before its fields changed.
    message: Option<MessageDescriptor>,
}

/// A field that can never be there.
#[derive(Clone, Debug)]
pub(super) struct Unknown {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Known {
    /// The JSON of a message. Its fields are known one level deep; `extract` looks further.
    pub(super) fn of_message(message: &MessageDescriptor) -> Known {
        let has_own_form = message.full_name().starts_with("google.protobuf.");
        let has_extensions = message.extension_ranges().next().is_some();
        if has_own_form || has_extensions {
            return Known::Anything;
        }
        let fields = message.fields().map(|field| (field.json_name().to_owned(), None)).collect();
        Known::Object(Object { fields, message: Some(message.clone()) })
    }

    /// Whether the field is surely a possible one.
    pub(super) fn holds(&self, name: &str) -> bool {
        matches!(self, Known::Object(object) if object.fields.contains_key(name))
    }

    /// Whether a field of this name can be there.
    pub(super) fn check(&self, name: &str) -> Result<(), Unknown> {
        match self {
            Known::Anything => Ok(()),
            Known::Scalar => {
                Err(Unknown { message: "the value is no object any more".to_owned(), hint: None })
            }
            Known::Object(object) if object.fields.contains_key(name) => Ok(()),
            Known::Object(object) => Err(object.unknown(name)),
        }
    }

    pub(super) fn retain(&mut self, stays: impl Fn(&str) -> bool) {
        if let Known::Object(object) = self {
            object.fields.retain(|name, _| stays(name));
        }
    }

    pub(super) fn insert(&mut self, name: &str) {
        if let Known::Object(object) = self {
            object.fields.insert(name.to_owned(), Some(Known::Scalar));
        }
    }

    pub(super) fn rename(&mut self, names: &BTreeMap<String, String>) {
        if let Known::Object(object) = self {
            let moved: Vec<_> = names
                .iter()
                .filter_map(|(old, new)| Some((new.clone(), Some(object.typed(old)?))))
                .collect();
            names.keys().for_each(|old| drop(object.fields.remove(old)));
            object.fields.extend(moved);
        }
    }

    pub(super) fn hoisted(self, name: &str) -> Known {
        let fields = BTreeMap::from([(name.to_owned(), Some(self))]);
        Known::Object(Object { fields, message: None })
    }

    /// Follows a path.
    pub(super) fn extract(&mut self, path: &[String]) -> Result<(), Unknown> {
        let mut now = std::mem::take(self);
        for name in path {
            now.check(name)?;
            now = match &now {
                Known::Object(object) => object.typed(name).unwrap_or_default(),
                Known::Anything | Known::Scalar => Known::Anything,
            };
        }
        *self = now;
        Ok(())
    }
}

impl Object {
    /// What is known of a field's value: of a message's field, what its type says.
    fn typed(&self, name: &str) -> Option<Known> {
        if let Some(known) = self.fields.get(name)? {
            return Some(known.clone());
        }
        let field = self.message.as_ref().and_then(|it| it.get_field_by_json_name(name));
        Some(match field {
            Some(field) if field.is_list() => Known::Scalar,
            Some(field) if field.is_map() => Known::Anything,
            Some(field) => match field.kind().as_message() {
                Some(message) => Known::of_message(message),
                None => Known::Scalar,
            },
            None => Known::Anything,
        })
    }

    fn unknown(&self, name: &str) -> Unknown {
        let message = match &self.message {
            Some(message) => {
                format!("no field `{name}` can be in the JSON of {} here", message.full_name())
            }
            None => format!("no field `{name}` can be in the value here"),
        };
        let proto = self.message.as_ref().and_then(|it| it.get_field_by_name(name));
        let json = proto.map(|field| field.json_name().to_owned());
        let json = json.filter(|json| self.fields.contains_key(json));
        let near = || nearest_few(name, self.fields.keys().map(String::as_str), 1).pop();
        let hint = match json {
            Some(json) => Some(format!("in JSON it is called `{json}`")),
            None => near().map(|near| format!("did you mean `{near}`?")),
        };
        Unknown { message, hint: hint.or_else(|| self.all()) }
    }

    fn all(&self) -> Option<String> {
        const LISTED_MAX: usize = 16;
        let names: Vec<&str> = self.fields.keys().map(String::as_str).take(LISTED_MAX).collect();
        let more = if self.fields.len() > LISTED_MAX { ", …" } else { "" };
        (!names.is_empty()).then(|| format!("there are: {}{more}", names.join(", ")))
    }
}
