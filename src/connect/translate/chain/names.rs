//! Which field of the message a field of the value came from.
//!
//! Keys and headers of a record are taken from the message as it was received, whatever was done to
//! its value. So a name that a transformation knows is followed back to the message's own.

use headwater_proto::MessageDescriptor;
use std::collections::{BTreeMap, BTreeSet};

/// The names of the value's fields.
pub(super) struct Names {
    message: Option<MessageDescriptor>,
    /// Fields that are not as they were: where they came from, or why from nowhere in the message.
    changed: BTreeMap<String, Result<String, &'static str>>,
    /// Names that are gone.
    gone: BTreeSet<String>,
    /// Names that are left, if there was a choice.
    kept: Option<BTreeSet<String>>,
    /// What the value is below, if it is no longer the whole message.
    is_within: Within,
}

/// What the value is.
enum Within {
    /// The message.
    Message,
    /// What is in one of its fields.
    Field(String),
    /// Something else.
    Elsewhere,
}

impl Names {
    pub(super) fn new(message: Option<MessageDescriptor>) -> Self {
        Names {
            message,
            changed: BTreeMap::new(),
            gone: BTreeSet::new(),
            kept: None,
            is_within: Within::Message,
        }
    }

    /// The path of a field in the message, or why there is none.
    pub(super) fn path(&self, field: &str) -> Result<String, &'static str> {
        if !self.is_there(field) {
            return Err("is gone by then");
        }
        let own = self.origin(field)?;
        match &self.is_within {
            Within::Message => self.named(&own),
            Within::Field(outer) => Ok(format!("{outer}.{own}")),
            Within::Elsewhere => Err("cannot be followed back to the message"),
        }
    }

    /// The field's own name, where the message is known.
    fn named(&self, own: &str) -> Result<String, &'static str> {
        let Some(message) = &self.message else { return Ok(own.to_owned()) };
        let field = message.get_field_by_json_name(own);
        let field = field.map(|field| field.name().to_owned());
        field.ok_or("is not in the message; fields are named as in JSON")
    }

    pub(super) fn include(&mut self, fields: &[String]) {
        let is_left = |field: &&String| self.is_there(field);
        self.kept = Some(fields.iter().filter(is_left).cloned().collect());
        self.changed.retain(|field, _| fields.contains(field));
    }

    /// Whether the value may have the field.
    fn is_there(&self, field: &str) -> bool {
        let is_left = || self.kept.as_ref().is_none_or(|kept| kept.contains(field));
        self.changed.contains_key(field) || (!self.gone.contains(field) && is_left())
    }

    pub(super) fn exclude(&mut self, fields: &[String]) {
        for field in fields {
            self.changed.remove(field);
            self.gone.insert(field.clone());
        }
    }

    pub(super) fn rename(&mut self, renames: &BTreeMap<String, String>) {
        let there = renames.iter().filter(|(old, _)| self.is_there(old));
        let before: Vec<_> = there.map(|(old, new)| (old, new, self.origin(old))).collect();
        for (old, ..) in &before {
            self.changed.remove(*old);
            self.gone.insert((*old).clone());
        }
        for (_, new, origin) in before {
            self.gone.remove(new);
            self.changed.insert(new.clone(), origin);
        }
    }

    fn origin(&self, field: &str) -> Result<String, &'static str> {
        self.changed.get(field).cloned().unwrap_or_else(|| Ok(field.to_owned()))
    }

    pub(super) fn insert(&mut self, field: &str) {
        self.gone.remove(field);
        let why = "was put in on the way and is not in the message";
        self.changed.insert(field.to_owned(), Err(why));
    }

    pub(super) fn mask<'f>(&mut self, fields: impl Iterator<Item = &'f String>) {
        self.alter(fields, "is masked by then, and in the message it is not");
    }

    pub(super) fn cast<'f>(&mut self, fields: impl Iterator<Item = &'f String>) {
        self.alter(fields, "is cast by then, and in the message it is not");
    }

    fn alter<'f>(&mut self, fields: impl Iterator<Item = &'f String>, why: &'static str) {
        let there: Vec<&String> = fields.filter(|field| self.is_there(field)).collect();
        self.changed.extend(there.into_iter().map(|field| (field.clone(), Err(why))));
    }

    pub(super) fn extract(&mut self, field: &str) {
        let is_within = match self.path(field) {
            Ok(path) => Within::Field(path),
            Err(_) => Within::Elsewhere,
        };
        *self = Names { is_within, ..Names::new(None) };
    }

    pub(super) fn hoist(&mut self) {
        *self = Names { is_within: Within::Elsewhere, ..Names::new(None) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_followed_back_to_the_message() {
        let mut names = Names::new(None);
        let renames = [("a".to_owned(), "b".to_owned()), ("b".to_owned(), "a".to_owned())];
        names.rename(&renames.into());
        assert_eq!(names.path("a").unwrap(), "b");
        assert_eq!(names.path("b").unwrap(), "a");
        names.insert("c");
        assert!(names.path("c").is_err());
        names.exclude(&["a".to_owned()]);
        assert!(names.path("a").is_err());
        names.extract("b");
        assert_eq!(names.path("x").unwrap(), "a.x");
        names.hoist();
        assert!(names.path("h").is_err());
    }

    #[test]
    fn what_is_gone_does_not_come_back_under_another_name() {
        let rename = |old: &str, new: &str| [(old.to_owned(), new.to_owned())].into();
        let mut names = Names::new(None);
        names.rename(&rename("a", "b"));
        names.include(&["c".to_owned()]);
        assert_eq!(names.path("b"), Err("is gone by then"));
        names.rename(&rename("d", "e"));
        assert_eq!(names.path("e"), Err("is gone by then"));
        names.exclude(&["c".to_owned()]);
        names.rename(&rename("c", "f"));
        assert_eq!(names.path("f"), Err("is gone by then"));
    }

    #[test]
    fn what_is_masked_or_cast_is_not_taken_from_the_message() {
        let mut names = Names::new(None);
        names.mask([&"a".to_owned()].into_iter());
        names.cast([&"b".to_owned()].into_iter());
        names.rename(&[("a".to_owned(), "c".to_owned())].into());
        assert!(names.path("c").unwrap_err().contains("masked"));
        assert!(names.path("b").unwrap_err().contains("cast"));
        assert_eq!(names.path("d").unwrap(), "d");
    }
}
