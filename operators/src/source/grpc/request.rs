//! The request of the next call: the pipeline file's, changed by what the cursor says.
//!
//! Without a cursor the `start` overlay applies, with one the `restart` overlay, and that of
//! `expired` where a cursor that is gone is to be made up for; all were checked against the
//! request's type when the pipeline file was read.
//!
//! Next: `call.rs` sends it.

use super::config::PositionKind;
use super::cursor::{Component, CursorPaths, ForeignValue, NoNextValue, Value};
use super::resume::Mark;
use super::template::{MetadataTemplate, UnfitMetadata};
use bytes::Bytes;
use headwater_engine::position::Cursor;
use headwater_proto::{CursorScalar, Overlay, OverlayError, RequestTemplate};
use std::collections::BTreeMap;
use tonic::metadata::MetadataMap;

/// A request as it is sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Outgoing {
    /// The encoded message.
    pub(super) message: Bytes,
    /// Metadata beside the target's own; the same key replaces it.
    pub(super) metadata: MetadataMap,
}

/// The requests one shard may send.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    /// Of a call that has no cursor, `start` applied.
    pub(super) first: Outgoing,
    /// Of a call that has one.
    pub(super) restart: Option<Restart>,
    /// Of a call that goes on behind a cursor that is gone, where that is declared.
    pub(super) reentry: Option<Restart>,
}

/// What a restart's request is made of.
#[derive(Clone, Debug)]
pub(super) struct Restart {
    /// The request of the pipeline file.
    pub(super) template: RequestTemplate,
    /// What changes in it.
    pub(super) overlay: Overlay,
    /// What changes in the metadata.
    pub(super) metadata: MetadataTemplate,
    /// Whether the value after the cursor is sent.
    pub(super) position: PositionKind,
}

/// No request can be made from the cursor.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    #[error(transparent)]
    Metadata(#[from] UnfitMetadata),
    #[error(transparent)]
    End(#[from] NoNextValue),
}

impl Requests {
    /// The request of a call that goes on from `place`.
    ///
    /// # Errors
    /// [`RequestError`] if a cursor value does not fit its field of the request.
    pub(super) fn encode(
        &self,
        paths: Option<&CursorPaths>,
        place: Option<&Mark>,
    ) -> Result<Outgoing, RequestError> {
        let place = place.filter(|place| place.has_values());
        let (Some(restart), Some(paths), Some(place)) = (&self.restart, paths, place) else {
            return Ok(self.first.clone());
        };
        let mut scalars: BTreeMap<&str, CursorScalar> = BTreeMap::new();
        for (component, value) in paths.components.iter().zip(&place.values) {
            let scalar = match value {
                // Several components advance each on its own, so one may not have been seen yet.
                None => component.default_scalar(),
                Some(value) => sent(value, restart.position)
                    .ok_or_else(|| NoNextValue { name: component.name.clone() })?
                    .to_scalar(),
            };
            scalars.insert(&component.name, scalar);
        }
        restart.make(&scalars)
    }

    /// The request of a call that goes on behind a cursor that is gone: at a value that takes the
    /// cursor's place as it is, or where the declared request begins.
    ///
    /// # Errors
    /// [`RequestError`] if the value does not fit its field of the request.
    pub(super) fn reenter(&self, at: Option<(&str, &Value)>) -> Result<Outgoing, RequestError> {
        let scalars: BTreeMap<&str, CursorScalar> =
            at.into_iter().map(|(name, value)| (name, value.to_scalar())).collect();
        match (&self.reentry, &self.restart, at) {
            (Some(reentry), ..) => reentry.make(&scalars),
            (None, Some(restart), Some(_)) => restart.make(&scalars),
            (None, ..) => Ok(self.first.clone()),
        }
    }
}

impl Restart {
    fn make(&self, scalars: &BTreeMap<&str, CursorScalar>) -> Result<Outgoing, RequestError> {
        let message = self.overlay.apply(&self.template, &|name| scalars.get(name).cloned())?;
        Ok(Outgoing { message, metadata: self.metadata.render(scalars)? })
    }
}

fn sent(value: &Value, position: PositionKind) -> Option<Value> {
    match position {
        PositionKind::After | PositionKind::At => Some(value.clone()),
        PositionKind::Next => value.next(),
    }
}

/// A stored cursor as the place of a shard.
///
/// # Errors
/// [`ForeignValue`] if a value is not of its component's type any more.
pub(super) fn restore(paths: &CursorPaths, stored: &Cursor) -> Result<Mark, ForeignValue> {
    let value = |component: &Component| {
        let stored = stored.values.get(&component.name);
        stored.map(|value| component.restore(value)).transpose()
    };
    let values: Result<_, _> = paths.components.iter().map(value).collect();
    Ok(Mark { values: values?, within: stored.within.clone(), broken: stored.broken })
}

/// The place of a shard as a progress record holds it.
pub(super) fn store(paths: &CursorPaths, place: &Mark) -> Cursor {
    let pairs = paths.components.iter().zip(&place.values);
    let values = pairs.filter_map(|(component, value)| {
        value.as_ref().map(|value| (component.name.clone(), value.to_stored()))
    });
    Cursor { values: values.collect(), within: place.within.clone(), broken: place.broken }
}
