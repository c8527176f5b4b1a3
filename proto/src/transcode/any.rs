//! Prints an `Any`: the message inside it, with its type.
//!
//! Invariant: each `Any` starts counting depth anew, as prost-reflect does, so how many may nest
//! has a limit of its own; without it a message of a few kilobytes could exhaust the stack.

use super::emit::Emitter;
use super::scan::Frame;
use super::well_known::{is_well_known, unprintable};
use super::{Outcome, check, text};
use crate::wire::DEPTH_MAX;

/// How many `Any` may nest in each other.
const ANY_DEPTH_MAX: u32 = 16;

/// Slot of `type_url`.
const TYPE_URL: u32 = 0;

/// Slot of `value`.
const VALUE: u32 = 1;

impl<'t> Emitter<'t, '_> {
    /// Prints an `Any` that has been scanned; its occurrences start at `from`.
    pub(super) fn any(&mut self, frame: &Frame<'t, '_>, from: usize) -> Outcome {
        for at in from..self.scratch.found.len() {
            let found = self.scratch.found[at];
            check::occurrence(frame, &frame.table.fields[found.slot() as usize], &found)?;
        }
        let place = |slot| self.last(from, slot);
        let url = place(TYPE_URL).map_or(&[][..], |found| found.bytes(frame.wire));
        let value = place(VALUE).map_or(&[][..], |found| found.bytes(frame.wire));
        let base = frame.base + place(VALUE).map_or(0, |found| found.start());
        let url = text::utf8(url).expect("the url was checked above");
        let Some((_, name)) = url.rsplit_once('/') else {
            return Err(unprintable(frame, "type url of an Any has no \"/\""));
        };
        let Some(table) = self.tables.by_name(name) else {
            return Err(unprintable(frame, "type of an Any is not in the descriptors"));
        };
        if self.any_depth == ANY_DEPTH_MAX {
            return Err(unprintable(frame, "more than 16 Any nest in each other"));
        }
        let table = self.tables.message(table);
        let inner = Frame { tables: self.tables, table, wire: value, base, depth: DEPTH_MAX };
        self.any_depth += 1;
        let printed = self.typed(url, name, &inner);
        self.any_depth -= 1;
        printed
    }

    fn typed(&mut self, url: &str, name: &str, inner: &Frame<'t, '_>) -> Outcome {
        self.out.extend_from_slice(b"{\"@type\":");
        text::text(url, self.out);
        if is_well_known(name) {
            self.out.extend_from_slice(b",\"value\":");
            self.message(inner)?;
        } else {
            self.fields(inner)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}
