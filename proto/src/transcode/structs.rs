//! `Struct`, `Value`, `ListValue` and `FieldMask` in the notation of Java.
//!
//! Otherwise prost-reflect prints them; it has no notation to choose, no order of the entries, and
//! refuses masks that Java brings into form. Here they are printed like the messages they are,
//! without the names of their fields.
//!
//! Next: `well_known.rs` says what is printed here.

use super::emit::Emitter;
use super::scan::Frame;
use super::table::{Field, Op};
use super::well_known::unprintable;
use super::{Failure, Outcome, check, text};

/// Slot of `Value.number_value`, whose number must be finite.
const NUMBER: u32 = 1;

impl<'t> Emitter<'t, '_> {
    /// Prints a `Struct` that has been scanned: the one map it has.
    pub(super) fn structure(&mut self, frame: &Frame<'t, '_>, from: usize) -> Outcome {
        let field = &frame.table.fields[0];
        let Op::Map(index) = field.op else { unreachable!("a struct has a map") };
        self.object(frame, index, from..self.scratch.found.len())
    }

    /// Prints a `ListValue` that has been scanned: the one list it has.
    pub(super) fn values(&mut self, frame: &Frame<'t, '_>, from: usize) -> Outcome {
        self.out.push(b'[');
        let empty = self.out.len();
        for at in from..self.scratch.found.len() {
            let found = self.scratch.found[at];
            self.value(frame, frame.table.fields[0].op, &found)?;
            self.out.push(b',');
        }
        if self.out.len() > empty {
            self.out.pop();
        }
        self.out.push(b']');
        Ok(())
    }

    /// Prints a `Value` that has been scanned: the member that was set last.
    pub(super) fn any_value(&mut self, frame: &Frame<'t, '_>, from: usize) -> Outcome {
        let Some(last) = self.scratch.found[from..].last().copied() else {
            self.out.extend_from_slice(b"null");
            return Ok(());
        };
        let is_again = self.scratch.found.len() - from > 1;
        if is_again {
            for piece in &self.scratch.found[from..] {
                check::occurrence(frame, self.member(frame, piece.slot()), piece)?;
            }
        }
        let op = self.member(frame, last.slot()).op;
        if last.slot() == NUMBER && !f64::from_bits(last.value).is_finite() {
            let reason = "value has no JSON form: not a finite number, or nested too deep";
            return Err(unprintable(frame, reason));
        }
        match op {
            Op::Message(child) if is_again => {
                let found = self.scratch.found[from..].iter().copied();
                let pieces: Vec<_> = found.filter(|it| it.slot() == last.slot()).collect();
                self.merged(frame, child, &pieces)
            }
            op => self.value(frame, op, &last),
        }
    }

    /// Prints a `FieldMask` that has been scanned.
    pub(super) fn mask(&mut self, frame: &Frame<'t, '_>, from: usize) -> Outcome {
        let mut paths = Vec::new();
        for at in from..self.scratch.found.len() {
            let found = self.scratch.found[at];
            let path = text::utf8(found.bytes(frame.wire));
            let path = path.map_err(|fault| Failure::new(frame.base + found.start(), fault))?;
            if !path.is_empty() {
                paths.push(camel(path));
            }
        }
        // Java escapes nothing here.
        text::text(&paths.join(","), self.out);
        Ok(())
    }

    fn member(&self, frame: &Frame<'t, '_>, slot: u32) -> &'t Field {
        &frame.table.fields[slot as usize]
    }
}

/// `foo_bar` as `fooBar`: what is not lower case between underscores is made so.
fn camel(path: &str) -> String {
    let mut words = path.split('_');
    let mut camel = words.next().unwrap_or_default().to_ascii_lowercase();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(&letters.as_str().to_ascii_lowercase());
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::camel;

    #[test]
    fn paths_get_javas_form() {
        for (path, expected) in
            [("foo_bar.baz", "fooBar.baz"), ("A", "a"), ("fooBar", "foobar"), ("a__b_", "aB")]
        {
            assert_eq!(camel(path), expected);
        }
    }
}
