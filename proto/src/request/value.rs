//! A checked value: what a field will hold, with places left for cursors.

use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, MessageDescriptor, Value};

use super::overlay::{CursorScalar, OverlayError};
use super::scalar;

/// A value for one field.
#[derive(Clone, Debug)]
pub(super) enum Checked {
    /// Known at validation.
    Fixed(Value),
    /// A cursor's component, known when a stream is resumed.
    Cursor(Placeholder),
    /// A message of which only these fields are set; others are left as they are.
    Message(MessageDescriptor, Vec<(FieldDescriptor, Checked)>),
    /// A list with a cursor somewhere inside.
    List(Vec<Checked>),
    /// A map with a cursor somewhere inside.
    Map(Vec<(MapKey, Checked)>),
}

/// Where a cursor's component goes.
#[derive(Clone, Debug)]
pub(super) struct Placeholder {
    pub(super) name: String,
    pub(super) field: FieldDescriptor,
}

/// Gives a cursor's component by name.
pub(super) type Cursor<'c> = &'c dyn Fn(&str) -> Option<CursorScalar>;

impl Checked {
    /// Whether no cursor is needed for it.
    pub(super) fn is_fixed(&self) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Cursor(_) => false,
            Self::Message(_, fields) => fields.iter().all(|(_, value)| value.is_fixed()),
            Self::List(values) => values.iter().all(Self::is_fixed),
            Self::Map(entries) => entries.iter().all(|(_, value)| value.is_fixed()),
        }
    }

    /// Adds the names of the cursor components it needs.
    pub(super) fn cursors<'s>(&'s self, names: &mut Vec<&'s str>) {
        match self {
            Self::Fixed(_) => {}
            Self::Cursor(place) => names.push(&place.name),
            Self::Message(_, fields) => {
                fields.iter().for_each(|(_, value)| value.cursors(names));
            }
            Self::List(values) => values.iter().for_each(|value| value.cursors(names)),
            Self::Map(entries) => entries.iter().for_each(|(_, value)| value.cursors(names)),
        }
    }

    /// The value by itself, not merged into anything.
    pub(super) fn resolve(&self, cursor: Cursor<'_>) -> Result<Value, OverlayError> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::Cursor(place) => place.resolve(cursor),
            Self::Message(descriptor, fields) => {
                let mut message = DynamicMessage::new(descriptor.clone());
                set_fields(&mut message, fields, cursor)?;
                Ok(Value::Message(message))
            }
            Self::List(values) => {
                let values = values.iter().map(|value| value.resolve(cursor));
                values.collect::<Result<_, _>>().map(Value::List)
            }
            Self::Map(entries) => {
                let entries = entries.iter();
                let resolved =
                    entries.map(|(key, value)| Ok((key.clone(), value.resolve(cursor)?)));
                resolved.collect::<Result<_, _>>().map(Value::Map)
            }
        }
    }
}

/// Sets fields of a message; a sub-message is merged into the one that is there, anything else
/// replaces it, and a member of a oneof unsets the others.
pub(super) fn set_fields(
    message: &mut DynamicMessage,
    fields: &[(FieldDescriptor, Checked)],
    cursor: Cursor<'_>,
) -> Result<(), OverlayError> {
    for (field, value) in fields {
        if let Checked::Message(_, inner) = value
            && let Value::Message(existing) = message.get_field_mut(field)
        {
            set_fields(existing, inner, cursor)?;
            continue;
        }
        let value = value.resolve(cursor)?;
        message.set_field(field, value);
    }
    Ok(())
}

impl Placeholder {
    fn resolve(&self, cursor: Cursor<'_>) -> Result<Value, OverlayError> {
        let value = cursor(&self.name).ok_or_else(|| OverlayError::Missing {
            name: self.name.clone(),
            field: self.field.full_name().to_owned(),
        })?;
        scalar::of_cursor(&self.field.kind(), value).map_err(|reason| OverlayError::Unfit {
            name: self.name.clone(),
            field: self.field.full_name().to_owned(),
            reason,
        })
    }
}
