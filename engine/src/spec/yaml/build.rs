//! Text → tree: reads parser events and builds nodes with spans.
//!
//! Why events and not a ready-made tree: they come one at a time, so that depth, alias
//! expansion and duplicate keys are bounded and reported while the tree grows, and a file of a
//! thousand brackets or a billion laughs ends in a diagnostic.
//!
//! Invariants
//! 1. The result obeys `DEPTH_MAX` and `VALUES_MAX` (`tree`).
//! 2. A map holds a key once: the first one counts, the others are reported.
//! 3. A node that came through an alias carries the spans of its anchor.
//!
//! Next: `engine/src/spec/interpolate.rs`.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::super::diagnostic::{Place, Report, Span};
use super::super::limits::{ALIASED_BYTES_MAX, DEPTH_MAX, VALUES_MAX};
use super::super::tree::{Node, Scalar, Value, core_value};
use super::hint::syntax_hint;
use super::index::Index;
use super::map::{OpenMap, key_of};

/// What the parser says of brackets nested beyond its own limit, which it meets before ours, as
/// it looks ahead for the end of a key.
const SCANNER_TOO_DEEP: &str = "recursion limit exceeded";

/// Reads a file's single document; none if there is none that can be checked further.
pub(crate) fn parse(text: &str, report: &mut Report) -> Option<Node> {
    let mut builder = Builder::new(text, report);
    let mut parser = Parser::new(StrInput::new(text));
    let complete = loop {
        let step = match parser.next_event() {
            None => break true,
            Some(Ok((event, span))) => builder.event(event, builder.index.span(span)),
            Some(Err(error)) => builder.syntax_error(&error),
        };
        if step.is_err() {
            break false;
        }
    };
    let root = builder.root.take();
    if !complete {
        return None;
    }
    if root.is_none() {
        let place = Place::new(builder.index.between(0, 0));
        report
            .error(&place, "the file is empty")
            .hint("begin with `pipeline: NAME`, then `sources:`, `decoders:` and `sinks:`");
    }
    root
}

/// The rest of the file cannot be read; the reason is in the report.
struct Stop;

/// A list or map whose end has not been seen.
struct Frame {
    span: Span,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map(OpenMap),
}

/// How large a subtree is.
#[derive(Clone, Copy, Default)]
struct Size {
    values: usize,
    bytes: usize,
    depth: usize,
}

struct Anchor {
    node: Node,
    size: Size,
}

struct Builder<'a> {
    report: &'a mut Report,
    text: &'a str,
    index: Index<'a>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Anchor>,
    values: usize,
    aliased_bytes: usize,
    documents: usize,
    root: Option<Node>,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, report: &'a mut Report) -> Self {
        Self {
            report,
            text,
            index: Index::new(text),
            frames: Vec::new(),
            anchors: HashMap::new(),
            values: 0,
            aliased_bytes: 0,
            documents: 0,
            root: None,
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) => self.document(span),
            Event::Scalar(text, style, anchor, tag) => {
                let plain_key_merge = style == ScalarStyle::Plain && text == "<<";
                let scalar = self.scalar(text.into_owned(), style, tag.as_deref(), span);
                let node = Node { span, value: Value::Scalar(scalar) };
                self.finish(node, anchor, plain_key_merge)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(span, anchor, tag.as_deref(), Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.open(span, anchor, tag.as_deref(), Content::Map(OpenMap::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents > 1 {
            self.report
                .error(&Place::new(span), "a second document begins here")
                .hint("write each pipeline into a file of its own");
            return Err(Stop);
        }
        Ok(())
    }

    fn open(
        &mut self,
        span: Span,
        anchor: usize,
        tag: Option<&Tag>,
        content: Content,
    ) -> Result<(), Stop> {
        if self.frames.len() >= DEPTH_MAX {
            return self.too_deep(span);
        }
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            self.unknown_tag(tag, span);
        }
        self.frames.push(Frame { span, anchor, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let frame = self.frames.pop().expect("the parser ends only what it has started");
        let value = match frame.content {
            Content::List(items) => Value::List(items),
            Content::Map(map) => Value::Map(map.into_entries()),
        };
        self.finish(Node { span: frame.span, value }, frame.anchor, false)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Stop> {
        let Some(anchor) = self.anchors.get(&id) else {
            self.report.error(&Place::new(span), "the alias stands inside its own anchor");
            return Err(Stop);
        };
        let Size { values, bytes, depth } = anchor.size;
        if self.frames.len() + depth > DEPTH_MAX {
            return self.too_deep(span);
        }
        self.values += values;
        self.aliased_bytes += bytes;
        if self.values > VALUES_MAX || self.aliased_bytes > ALIASED_BYTES_MAX {
            return self.too_many(span);
        }
        let node = anchor.node.clone();
        self.place(node, span, false)
    }

    /// A value of the text itself is complete: counts it, anchors it, puts it in its place.
    fn finish(&mut self, node: Node, anchor: usize, is_merge: bool) -> Result<(), Stop> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return self.too_many(node.span);
        }
        if anchor > 0 {
            let size = measure(&node);
            self.anchors.insert(anchor, Anchor { node: node.clone(), size });
        }
        let span = node.span;
        self.place(node, span, is_merge)
    }

    /// Puts a value where it belongs. The span is where it is written: an alias, or itself.
    fn place(&mut self, node: Node, span: Span, is_merge: bool) -> Result<(), Stop> {
        match self.frames.last_mut().map(|frame| &mut frame.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map(map)) => match map.key.take() {
                None => map.key = Some(key_of(&node, span, is_merge, self.report)),
                Some(key) => map.insert(key, node, self.report),
            },
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: String,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Scalar {
        let scalar = match style {
            ScalarStyle::Plain => Scalar::plain(text),
            _ => Scalar::quoted(text),
        };
        match tag {
            None => scalar,
            Some(tag) if tag.is_yaml_core_schema() => self.retype(scalar, &tag.suffix, span),
            Some(tag) => {
                self.unknown_tag(tag, span);
                scalar
            }
        }
    }

    /// A scalar whose type is written out, such as `!!str 5`.
    fn retype(&mut self, scalar: Scalar, tag: &str, span: Span) -> Scalar {
        if tag == "str" {
            return Scalar::quoted(scalar.text);
        }
        let typed = core_value(&scalar.text);
        let fits = match tag {
            "int" => typed.is_i64() || typed.is_u64(),
            "float" => typed.is_number(),
            "bool" => typed.is_boolean(),
            "null" => typed.is_null(),
            _ => false,
        };
        let is_reference = scalar.text.contains("${");
        if !fits && !is_reference {
            self.report.error(&Place::new(span), format!("the value is not a `!!{tag}`"));
        }
        let resolved = fits || is_reference;
        Scalar { typed, plain: true, resolved, ..scalar }
    }

    fn unknown_tag(&mut self, tag: &Tag, span: Span) {
        self.report
            .error(&Place::new(span), format!("tag `{tag}` is not known"))
            .hint("leave the tag out");
    }

    fn too_deep(&mut self, span: Span) -> Result<(), Stop> {
        self.report
            .error(&Place::new(span), "the file is nested too deeply")
            .detail(format!("expected: at most {DEPTH_MAX} levels of lists and maps"));
        Err(Stop)
    }

    fn too_many(&mut self, span: Span) -> Result<(), Stop> {
        let message = "the file holds too much once its aliases are written out";
        self.report
            .error(&Place::new(span), message)
            .detail(format!("expected: at most {VALUES_MAX} values, {ALIASED_BYTES_MAX} bytes"));
        Err(Stop)
    }

    fn syntax_error(&mut self, error: &ScanError) -> Result<(), Stop> {
        let marker = error.marker();
        let span = self.index.between(marker.index(), marker.index());
        if error.info() == SCANNER_TOO_DEEP {
            return self.too_deep(span);
        }
        let hint = syntax_hint(self.text, span);
        let message = format!("not YAML: {}", error.info());
        let finding = self.report.error(&Place::new(span), message);
        if let Some(hint) = hint {
            finding.hint(hint);
        }
        Err(Stop)
    }
}

fn measure(node: &Node) -> Size {
    let add = |size: Size, child: Size, own_bytes: usize| Size {
        values: size.values + child.values,
        bytes: size.bytes + child.bytes + own_bytes,
        depth: size.depth.max(child.depth + 1),
    };
    let one = Size { values: 1, ..Size::default() };
    match &node.value {
        Value::Scalar(scalar) => Size { bytes: scalar.text.len(), ..one },
        Value::List(items) => {
            items.iter().fold(Size { depth: 1, ..one }, |size, item| add(size, measure(item), 0))
        }
        Value::Map(entries) => entries.iter().fold(Size { depth: 1, ..one }, |size, entry| {
            add(size, measure(&entry.value), entry.key.len())
        }),
        Value::StandIn(_) => one,
    }
}
