//! The steps of a `fields` transform, compiled, and what they do to one value.
//!
//! An object is scanned once. From then on its fields are pairs of spans: into the value as it
//! came, into the program's own constants, or into a scratch that is used for every record. Steps
//! move spans; only at the end, or where a step needs it, bytes are written. So a value of which
//! one field is renamed costs one scan and one copy.
//!
//! Invariants
//! 1. Names in spans have the one form in which [`write_text`] would write them, so that equal
//!    names are equal bytes.
//! 2. Nothing is allocated per record once scratch and field list have grown.
//! 3. What a step does to a value is what Kafka Connect's transformation of that name does to a map
//!    without a schema (`tests/transforms`), but for the order of fields, which Connect does not
//!    keep and we do.
//!
//! Next: `change.rs` has the steps that make new values, `operator.rs` runs batches through this.

use super::change::{self, CastType, Mask};
use super::scan::{self, NoJson, Sort};
use std::ops::Range;

/// Compiled steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    /// Names and values that the steps themselves bring.
    pub(super) constants: Vec<u8>,
    pub(super) steps: Vec<Op>,
}

/// A span of the program's constants.
pub(super) type Constant = Range<usize>;

/// One step. Names are without their quotes.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Include(Vec<Constant>),
    Exclude(Vec<Constant>),
    Rename(Vec<(Constant, Constant)>),
    Insert(Constant, Inserted),
    Mask(Vec<Constant>, Mask),
    Cast(Vec<(Constant, CastType)>),
    CastValue(CastType),
    Hoist(Constant),
    Extract(Vec<Constant>),
}

/// What a step inserts.
#[derive(Clone, Debug)]
pub(super) enum Inserted {
    /// A value of its own, as JSON.
    Value(Constant),
    /// When the record's batch was received, in milliseconds since 1970-01-01T00:00:00Z.
    Received,
    /// The record's shard.
    Shard,
    /// The record's session.
    Session,
    /// The record's number within its session.
    Sequence,
}

/// What is known of a record beside its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) received_unix_ms: i64,
    /// The shard's name as JSON.
    pub(super) shard_json: &'a [u8],
    pub(super) session: u32,
    pub(super) sequence: u64,
}

/// Why a step cannot do its work on a value. No value is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error(transparent)]
    NoJson(#[from] NoJson),
    #[error("step {step} needs an object, and the value is {}", sort_name(*.found))]
    NoObject { step: usize, found: Option<Sort> },
    #[error("step {step}: field `{field}` is {}, which cannot be {wanted}", .found.name())]
    Value { step: usize, field: String, found: Sort, wanted: &'static str },
    #[error("step {step}: the value is {}, which cannot be {wanted}", .found.name())]
    Whole { step: usize, found: Sort, wanted: &'static str },
}

fn sort_name(sort: Option<Sort>) -> &'static str {
    sort.map_or("none", Sort::name)
}

/// What a span lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Input,
    Constants,
    Scratch,
}

/// A piece of JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    origin: Origin,
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    name: Part,
    value: Part,
}

/// What a value is, on its way through the steps.
#[derive(Clone, Copy, Debug)]
enum State {
    /// An object; its fields are in the workspace.
    Object,
    /// Anything, as JSON.
    Whole(Part),
    /// None: a tombstone.
    Nothing,
}

/// Memory that every record uses again.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    fields: Vec<Field>,
    scratch: Vec<u8>,
    aside: Vec<u8>,
}

/// One value on its way.
struct Work<'a> {
    program: &'a Program,
    input: &'a [u8],
    facts: Facts<'a>,
    space: &'a mut Workspace,
    state: State,
    /// The number of the step, counted from 1.
    step: usize,
}

impl Program {
    /// Adds bytes of the program's own.
    pub(super) fn constant(&mut self, bytes: &[u8]) -> Constant {
        let start = self.constants.len();
        self.constants.extend_from_slice(bytes);
        start..self.constants.len()
    }

    /// Adds a field's name.
    pub(super) fn name(&mut self, name: &str) -> Constant {
        let mut text = Vec::new();
        write_text(name, &mut text);
        self.constant(&text[1..text.len() - 1])
    }

    /// Adds a text as a value.
    pub(super) fn text(&mut self, text: &str) -> Constant {
        let mut json = Vec::new();
        write_text(text, &mut json);
        self.constant(&json)
    }

    /// Appends to `out` what the steps make of `input`; nothing at all stands for no value.
    pub(super) fn apply(
        &self,
        input: &[u8],
        facts: Facts<'_>,
        space: &mut Workspace,
        out: &mut Vec<u8>,
    ) -> Result<(), Unfit> {
        space.fields.clear();
        space.scratch.clear();
        let whole = Part { origin: Origin::Input, start: 0, end: input.len() };
        let mut work = Work { program: self, input, facts, space, state: State::Nothing, step: 0 };
        work.set_whole(whole);
        for op in &self.steps {
            work.step += 1;
            work.run(op)?;
        }
        work.write(out);
        Ok(())
    }
}

impl Work<'_> {
    fn run(&mut self, op: &Op) -> Result<(), Unfit> {
        match op {
            Op::Include(names) => self.retain(|name, names| names.contains(name), names),
            Op::Exclude(names) => self.retain(|name, names| !names.contains(name), names),
            Op::Rename(names) => self.rename(names),
            Op::Insert(name, value) => self.insert(name, value),
            Op::Mask(names, mask) => self.mask(names, mask),
            Op::Cast(casts) => self.cast(casts),
            Op::CastValue(to) => self.cast_value(*to),
            Op::Hoist(name) => self.hoist(name),
            Op::Extract(path) => self.extract(path),
        }
    }

    fn bytes(&self, part: Part) -> &[u8] {
        let buffer = match part.origin {
            Origin::Input => self.input,
            Origin::Constants => &self.program.constants,
            Origin::Scratch => &self.space.scratch,
        };
        &buffer[part.start..part.end]
    }

    fn own(&self, constant: &Constant) -> &[u8] {
        &self.program.constants[constant.clone()]
    }

    /// A value that is null is none, as in Connect.
    fn set_whole(&mut self, part: Part) {
        let is_nothing = matches!(self.bytes(part), b"" | b"null");
        self.state = if is_nothing { State::Nothing } else { State::Whole(part) };
    }

    /// Makes the value's fields available. False if there is no value.
    fn open(&mut self) -> Result<bool, Unfit> {
        let part = match self.state {
            State::Object => return Ok(true),
            State::Nothing => return Ok(false),
            State::Whole(part) => part,
        };
        let sort = Sort::of(self.bytes(part));
        if sort != Some(Sort::Object) {
            return Err(Unfit::NoObject { step: self.step, found: sort });
        }
        let mut fields = std::mem::take(&mut self.space.fields);
        fields.clear();
        let within = |range: Range<usize>| Part {
            origin: part.origin,
            start: part.start + range.start,
            end: part.start + range.end,
        };
        let scanned = scan::object(self.bytes(part), |name, value| {
            fields.push(Field { name: within(name), value: within(value) });
        });
        self.space.fields = fields;
        scanned?;
        self.settle_names();
        self.state = State::Object;
        Ok(true)
    }

    /// Gives names with escapes their one form.
    fn settle_names(&mut self) {
        for place in 0..self.space.fields.len() {
            let name = self.space.fields[place].name;
            if self.bytes(name).contains(&b'\\') {
                let text = change::unescaped(self.bytes(name));
                let start = self.space.scratch.len();
                write_text(&text, &mut self.space.scratch);
                let end = self.space.scratch.len() - 1;
                self.space.fields[place].name =
                    Part { origin: Origin::Scratch, start: start + 1, end };
            }
        }
    }

    /// As [`Work::open`], where no value is an error.
    fn demand(&mut self) -> Result<(), Unfit> {
        if self.open()? { Ok(()) } else { Err(Unfit::NoObject { step: self.step, found: None }) }
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        self.space.fields.iter().position(|field| self.bytes(field.name) == name)
    }

    /// Gives the field of this name a value, at its place or else at the end.
    fn put(&mut self, name: &Constant, value: Part) {
        match self.find(self.own(name)) {
            Some(place) => self.space.fields[place].value = value,
            None => self.space.fields.push(Field { name: Part::own(name), value }),
        }
    }

    fn retain(
        &mut self,
        stays: impl Fn(&[u8], &Names<'_>) -> bool,
        names: &[Constant],
    ) -> Result<(), Unfit> {
        if !self.open()? {
            return Ok(());
        }
        let mut fields = std::mem::take(&mut self.space.fields);
        let names = Names { constants: &self.program.constants, names };
        fields.retain(|field| stays(self.bytes(field.name), &names));
        self.space.fields = fields;
        Ok(())
    }

    /// All at once, so that names can be swapped. Of two fields that end with one name, the later
    /// one in the value stays.
    fn rename(&mut self, names: &[(Constant, Constant)]) -> Result<(), Unfit> {
        if !self.open()? {
            return Ok(());
        }
        let mut is_renamed = false;
        for place in 0..self.space.fields.len() {
            let name = self.bytes(self.space.fields[place].name);
            if let Some((_, new)) = names.iter().find(|(old, _)| self.own(old) == name) {
                self.space.fields[place].name = Part::own(new);
                is_renamed = true;
            }
        }
        if is_renamed {
            self.drop_doubles(names);
        }
        Ok(())
    }

    fn drop_doubles(&mut self, names: &[(Constant, Constant)]) {
        for (_, new) in names {
            let is_it = |work: &Self, place: usize| {
                work.bytes(work.space.fields[place].name) == work.own(new)
            };
            let last = (0..self.space.fields.len()).rev().find(|place| is_it(self, *place));
            for place in (0..last.unwrap_or(0)).rev() {
                if is_it(self, place) {
                    self.space.fields.remove(place);
                }
            }
        }
    }

    fn insert(&mut self, name: &Constant, value: &Inserted) -> Result<(), Unfit> {
        if !self.open()? {
            return Ok(());
        }
        let facts = self.facts;
        let value = match value {
            Inserted::Value(value) => Part::own(value),
            Inserted::Received => self.made(|out| change::int(facts.received_unix_ms, out)),
            Inserted::Shard => self.made(|out| out.extend_from_slice(facts.shard_json)),
            Inserted::Session => self.made(|out| change::int(facts.session.into(), out)),
            Inserted::Sequence => self.made(|out| change::uint(facts.sequence, out)),
        };
        self.put(name, value);
        Ok(())
    }

    /// A new value in the scratch.
    fn made(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Part {
        let start = self.space.scratch.len();
        write(&mut self.space.scratch);
        Part { origin: Origin::Scratch, start, end: self.space.scratch.len() }
    }

    fn mask(&mut self, names: &[Constant], mask: &Mask) -> Result<(), Unfit> {
        self.demand()?;
        for name in names {
            let Some((sort, _)) = self.value_of(name)? else {
                self.put(name, Part::own(&mask.null));
                continue;
            };
            let Some(value) = mask.of(sort) else {
                return Err(self.unfit(name, sort, "replaced by this text"));
            };
            self.put(name, Part::own(value));
        }
        Ok(())
    }

    fn cast(&mut self, casts: &[(Constant, CastType)]) -> Result<(), Unfit> {
        if !self.open()? {
            return Ok(());
        }
        for (name, to) in casts {
            let (sort, value) = match self.value_of(name)? {
                Some((Sort::Null, _)) => continue,
                Some(found) => found,
                None => {
                    let null = self.made(|out| out.extend_from_slice(b"null"));
                    self.put(name, null);
                    continue;
                }
            };
            match self.cast_part(sort, value, *to) {
                Some(value) => self.put(name, value),
                None => return Err(self.unfit(name, sort, to.words())),
            }
        }
        Ok(())
    }

    fn cast_value(&mut self, to: CastType) -> Result<(), Unfit> {
        let found = match self.state {
            State::Nothing => return Ok(()),
            State::Object => None,
            State::Whole(part) => self.sort(part)?.map(|sort| (sort, part)),
        };
        let sort = found.map_or(Sort::Object, |(sort, _)| sort);
        match found.and_then(|(sort, part)| self.cast_part(sort, part, to)) {
            Some(value) => self.state = State::Whole(value),
            None => {
                let (step, wanted) = (self.step, to.words());
                return Err(Unfit::Whole { step, found: sort, wanted });
            }
        }
        Ok(())
    }

    fn cast_part(&mut self, sort: Sort, part: Part, to: CastType) -> Option<Part> {
        let (input, program) = (self.input, self.program);
        let Workspace { scratch, aside, .. } = &mut *self.space;
        let range = part.start..part.end;
        let value = match part.origin {
            Origin::Input => &input[range],
            Origin::Constants => &program.constants[range],
            // What is read must not lie where it is written.
            Origin::Scratch => {
                aside.clear();
                aside.extend_from_slice(&scratch[range]);
                aside
            }
        };
        let start = scratch.len();
        let is_done = change::cast(sort, value, to, scratch);
        is_done.then_some(Part { origin: Origin::Scratch, start, end: scratch.len() })
    }

    fn hoist(&mut self, name: &Constant) -> Result<(), Unfit> {
        let value = match self.state {
            State::Nothing => self.made(|out| out.extend_from_slice(b"null")),
            State::Whole(part) => part,
            State::Object => {
                let mut scratch = std::mem::take(&mut self.space.scratch);
                let start = scratch.len();
                self.write_fields_into(&mut scratch);
                let end = scratch.len();
                self.space.scratch = scratch;
                Part { origin: Origin::Scratch, start, end }
            }
        };
        self.space.fields.clear();
        self.space.fields.push(Field { name: Part::own(name), value });
        self.state = State::Object;
        Ok(())
    }

    fn extract(&mut self, path: &[Constant]) -> Result<(), Unfit> {
        for name in path {
            if !self.open()? {
                return Ok(());
            }
            match self.find(self.own(name)) {
                Some(place) => self.set_whole(self.space.fields[place].value),
                None => self.state = State::Nothing,
            }
        }
        Ok(())
    }

    /// The value of a field, if it is there.
    fn value_of(&self, name: &Constant) -> Result<Option<(Sort, Part)>, Unfit> {
        let Some(place) = self.find(self.own(name)) else { return Ok(None) };
        let value = self.space.fields[place].value;
        Ok(self.sort(value)?.map(|sort| (sort, value)))
    }

    fn sort(&self, part: Part) -> Result<Option<Sort>, Unfit> {
        let at = part.start;
        Sort::of(self.bytes(part)).map(Some).ok_or(Unfit::NoJson(NoJson { at }))
    }

    #[cold]
    fn unfit(&self, name: &Constant, found: Sort, wanted: &'static str) -> Unfit {
        let field = change::unescaped(self.own(name));
        Unfit::Value { step: self.step, field, found, wanted }
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        match self.state {
            State::Nothing => {}
            State::Whole(part) => out.extend_from_slice(self.bytes(part)),
            State::Object => {
                out.push(b'{');
                for (place, field) in self.space.fields.iter().enumerate() {
                    let before: &[u8] = if place == 0 { b"\"" } else { b",\"" };
                    out.extend_from_slice(before);
                    out.extend_from_slice(self.bytes(field.name));
                    out.extend_from_slice(b"\":");
                    out.extend_from_slice(self.bytes(field.value));
                }
                out.push(b'}');
            }
        }
    }

    /// As [`Work::write`] does with an object, into the scratch that was taken out.
    fn write_fields_into(&self, scratch: &mut Vec<u8>) {
        let copy = |scratch: &mut Vec<u8>, part: Part| match part.origin {
            Origin::Scratch => scratch.extend_from_within(part.start..part.end),
            Origin::Input => scratch.extend_from_slice(&self.input[part.start..part.end]),
            Origin::Constants => {
                scratch.extend_from_slice(&self.program.constants[part.start..part.end]);
            }
        };
        scratch.push(b'{');
        for (place, field) in self.space.fields.iter().enumerate() {
            let before: &[u8] = if place == 0 { b"\"" } else { b",\"" };
            scratch.extend_from_slice(before);
            copy(scratch, field.name);
            scratch.extend_from_slice(b"\":");
            copy(scratch, field.value);
        }
        scratch.push(b'}');
    }
}

impl Part {
    fn own(constant: &Constant) -> Part {
        Part { origin: Origin::Constants, start: constant.start, end: constant.end }
    }
}

/// Names of a step, to look one up.
struct Names<'a> {
    constants: &'a [u8],
    names: &'a [Constant],
}

impl Names<'_> {
    fn contains(&self, name: &[u8]) -> bool {
        self.names.iter().any(|own| &self.constants[own.clone()] == name)
    }
}

/// Appends a text as JSON, escaped where it must be and nowhere else.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a Vec takes everything");
}
