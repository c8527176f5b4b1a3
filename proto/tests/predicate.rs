//! Goal: a predicate answers on the wire what CEL answers of the decoded message, and every mistake
//! in one is told with its place.
//! Method: a table of facts, a file of mistakes, then random predicates over random messages
//! against a reference that works on prost-reflect's decoded form.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/support/property/mod.rs"]
mod property;
mod support;

use headwater_proto::Predicate;
use property::property;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MapKey, MessageDescriptor, ReflectMessage as _, Value};
use support::{Maker, field, message, tag, varint};

fn predicate(name: &str, text: &str) -> Predicate {
    Predicate::compile(text, &message(name)).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// A message, written as JSON.
fn wire(name: &str, json: &str) -> Vec<u8> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    DynamicMessage::deserialize(message(name), &mut deserializer).unwrap().encode_to_vec()
}

/// `TYPE JSON`, then predicates and their answers.
type Facts = (&'static str, &'static str, &'static [(&'static str, bool)]);

const FACTS: [Facts; 13] = [
    (
        "rich.Choice",
        r#"{"before": 3, "node": {"weight": -7}, "left": "ab"}"#,
        &[
            ("has(node)", true),
            ("has(text)", false),
            ("has(number)", false),
            ("has(before)", true),
            ("has(after)", false),
            ("has(node.weight)", true),
            ("has(node.child)", false),
            ("has(node.child.child)", false),
            ("before == 3", true),
            ("before != 3 || node.weight == -7", true),
            ("before > 3", false),
            ("before >= 3 && before <= 3", true),
            ("before < 4u && before < 3.5", true),
            ("node.child.weight == 0", true),
            ("text == ''", true),
            ("left == 'ab' && right == \"\"", true),
            ("left < 'b' && left > 'a'", true),
            ("!(left == 'ab')", false),
            ("!has(text) && !has(blob)", true),
            ("before in [1, 2, 3]", true),
            ("before in [1u, 2.5]", false),
            ("left in ['x', 'ab',]", true),
            ("colour == NONE", true),
            ("before == node.weight", false),
            ("(before == 3) == true", true),
            ("true", true),
            ("false || !true", false),
        ],
    ),
    (
        "rich.Choice",
        r#"{"colour": "FAR"}"#,
        &[
            ("colour == FAR", true),
            ("FAR == colour", true),
            ("colour == rich.Colour.FAR", true),
            ("colour == Colour.RED", false),
            ("colour in [RED, rich.FAR]", true),
            ("colour == 70000", true),
            ("colour > DEEP", true),
            ("has(colour)", true),
        ],
    ),
    // A oneof's member that is there as its default is there.
    ("rich.Choice", r#"{"number": 0}"#, &[("has(number)", true), ("number == 0", true)]),
    (
        "rich.Lists",
        r#"{"ints": [5, 6], "strings": ["a", "bc"], "nodes": [{"weight": 1}, {"children": [{}, {"weight": 9}]}]}"#,
        &[
            ("size(ints) == 2", true),
            ("ints.size() == 2", true),
            ("size(doubles) == 0", true),
            ("has(ints) && !has(doubles)", true),
            ("ints[0] == 5 && ints[1] == 6 && ints[-1] == 6", true),
            ("size(strings[-1]) == 2", true),
            ("strings[1].startsWith('b')", true),
            ("nodes[-1].children[1].weight == 9", true),
            ("size(nodes[-1].children) == 2", true),
            ("size(nodes[0].children) == 0", true),
            ("nodes[0].child.weight == 0", true),
            ("has(nodes[0].weight)", true),
            ("has(nodes[1].weight)", false),
            ("has(nodes[1].children)", true),
        ],
    ),
    // What is not there cannot answer, and decides nothing that another part decides.
    (
        "rich.Lists",
        r#"{"ints": [5]}"#,
        &[
            ("ints[1] == 0", false),
            ("ints[1] != 0", false),
            ("!(ints[1] == 0)", false),
            ("ints[1] == 0 || ints[0] == 5", true),
            ("ints[0] == 5 || ints[1] == 0", true),
            ("!(ints[1] == 0 && ints[0] == 4)", true),
            ("nodes[0].child.weight == 0", false),
            ("has(nodes[0].weight) || true", true),
            ("!has(nodes[0].weight)", false),
            ("size(nodes[0].children) == 0", false),
            ("ints[0] in [ints[3], 5]", true),
            ("!(ints[0] in [ints[3], 4])", false),
            ("5 in ints && 5u in ints && !(4 in ints)", true),
        ],
    ),
    (
        "rich.Lists",
        r#"{"ints": [5, 9, 9], "strings": ["a", "b"]}"#,
        &[
            ("9 in ints && 'b' in strings && !('' in strings)", true),
            ("size(nodes) in ints || 'c' in strings", false),
        ],
    ),
    (
        "rich.Maps",
        r#"{"texts": {"a b": "x", "q\"": "y"}, "ints": {"-1": 4}, "bools": {"true": "RED"}}"#,
        &[
            ("size(texts) == 2 && has(texts) && !has(nodes)", true),
            ("texts['a b'] == 'x'", true),
            ("texts['q\"'] == 'y'", true),
            ("texts['c'] == ''", false),
            ("'a b' in texts", true),
            ("!('c' in texts)", true),
            ("-1 in ints && ints[-1] == 4", true),
            ("true in bools && bools[true] == RED", true),
        ],
    ),
    (
        "rich.Scalars",
        r#"{"aUint64": "18446744073709551615", "anInt64": "-9223372036854775808", "aDouble": 0.5,
            "someBytes": "AP8=", "aString": "grüße", "maybeInt": 0}"#,
        &[
            ("a_uint64 == 18446744073709551615u", true),
            ("aUint64 > an_int64", true),
            ("an_int64 == -9223372036854775808", true),
            ("an_int64 < 0u", true),
            ("a_double == .5 && a_double < 1e0 && a_double > -1", true),
            ("a_double == 5e-1", true),
            ("some_bytes == b'\\x00\\xff'", true),
            ("some_bytes == b\"\\000\\377\" && size(some_bytes) == 2", true),
            ("some_bytes < b'\\x01'", true),
            ("size(a_string) == 5", true),
            ("a_string == 'gr\\u00fc\\u00DFe'", true),
            ("a_string.endsWith('e') && a_string.contains('üß')", true),
            ("a_string.matches('^g.{3}e$')", true),
            ("a_string.matches(r'\\d')", false),
            ("'prefix'.startsWith(a_string) || 'grüße!'.startsWith(a_string)", true),
            ("has(maybe_int) && maybe_int == 0 && !has(maybe_string)", true),
            ("0x10 == 16 && 0XfU == 15u // hex", true),
            ("a_bool", false),
            ("!a_bool && a_bool == false", true),
        ],
    ),
    (
        "rich.Scalars",
        r#"{"aDouble": "NaN"}"#,
        &[("a_double == a_double", false), ("a_double != 1", true)],
    ),
    ("rich.Scalars", r#"{"aDouble": -0.0}"#, &[("a_double == 0", true)]),
    (
        "rich2.Old",
        r#"{"id": 1}"#,
        &[
            ("count == 7 && label == 'none' && !has(count)", true),
            ("level == HIGH", true),
            ("self.count == 7", true),
            ("pair.left == 0", true),
            ("size(row) == 0", true),
        ],
    ),
    (
        "rich2.Old",
        r#"{"id": 1, "row": [{"cell": 4}], "pair": {"deep": {"bottom": 2}}}"#,
        &[("row[0].cell == 4 && size(row) == 1 && pair.deep.bottom == 2 && has(pair.deep)", true)],
    ),
    (
        "rich.WellKnown",
        r#"{"time": "2024-01-01T00:00:00Z", "wrappedInt64": "0"}"#,
        &[
            ("time.seconds > 1700000000", true),
            ("has(wrapped_int64) && wrapped_int64.value == 0", true),
        ],
    ),
];

#[test]
fn a_predicate_answers_as_the_table_says() {
    for (name, json, facts) in FACTS {
        let wire = wire(name, json);
        for (text, expected) in facts {
            assert_eq!(predicate(name, text).holds(&wire), *expected, "{text} of {json}");
        }
    }
}

#[test]
fn a_message_broken_on_the_way_to_a_field_holds_nothing_that_needs_it() {
    let mut wire = Vec::new();
    tag(1, 0, &mut wire);
    varint(3, &mut wire);
    field(4, b"\x20\x80", &mut wire);
    assert!(!predicate("rich.Choice", "node.weight == 0").holds(&wire));
    assert!(!predicate("rich.Choice", "node.weight != 0").holds(&wire));
    assert!(!predicate("rich.Choice", "!(node.weight == 0)").holds(&wire));
    assert!(predicate("rich.Choice", "before == 3 || node.weight == 0").holds(&wire));
    assert!(predicate("rich.Choice", "before == 3").holds(&wire), "nothing on its way is broken");
    assert!(!predicate("rich.Choice", "has(node) || true == false").holds(&[0x80]));
    let mut text = Vec::new();
    field(3, b"\xff", &mut text);
    assert!(!predicate("rich.Choice", "text != 'a'").holds(&text), "it is no text");
}

#[test]
fn a_field_that_came_in_pieces_is_merged_before_it_is_asked() {
    let mut wire = Vec::new();
    field(4, b"\x20\x05", &mut wire);
    field(4, b"\x1a\x01x", &mut wire);
    let both = predicate("rich.Choice", "has(node) && node.weight == 5 && node.name == 'x'");
    assert!(both.holds(&wire));
    field(3, b"t", &mut wire);
    assert!(!both.holds(&wire), "another member of the oneof unsets it");
}

/// The cases are in `cases/predicate-errors.txt`: lines `TYPE: PREDICATE`, each followed by what is
/// told of it. The file is rewritten when `UPDATE_EXPECTED` is set.
#[test]
fn a_mistake_is_told_with_its_column_and_what_to_do() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/predicate-errors.txt");
    let expected = std::fs::read_to_string(file).unwrap();
    let mut told = String::new();
    for line in expected.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')) {
        let (name, text) = line.split_once(": ").unwrap();
        let error = Predicate::compile(text, &message(name)).expect_err(line);
        let place = name.len() + 2 + text[..error.column].chars().count();
        told += &format!("{line}\n{:place$}^ {error}\n", "");
        if let Some(hint) = error.hint {
            told += &format!("  hint: {hint}\n");
        }
    }
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(file, &told).unwrap();
    }
    assert_eq!(told, expected);
    assert!(told.lines().count() > 80, "the cases were lost");
}

#[test]
fn hostile_predicates_end_in_an_error_and_not_in_an_overflow() {
    let of = message("rich.Choice");
    for text in [
        "(".repeat(4000),
        "!".repeat(4000),
        "[".repeat(4000),
        "has(".repeat(1000),
        "a.".repeat(2000),
        "before == 1 && ".repeat(280),
        "left.startsWith('".repeat(200),
        "x".repeat(5000),
    ] {
        assert!(Predicate::compile(&text, &of).is_err(), "{}", &text[..20]);
    }
    let long = vec!["before == 1"; 250].join(" || ");
    assert!(Predicate::compile(&long, &of).is_ok());
    let costly = "left.matches('(a{1000}){1000}')";
    assert!(Predicate::compile(costly, &of).unwrap_err().message.contains("cannot be used"));
}

// === random predicates ===

/// A predicate in a form that the reference can answer, beside its text.
#[derive(Clone, Debug)]
enum Ask {
    Has(usize),
    Compare(usize, &'static str, Literal),
    CompareFields(usize, &'static str, usize),
    In(usize, Vec<Literal>),
    Size(usize, &'static str, i64),
    Starts(usize, &'static str),
    Not(Box<Ask>),
    All(Vec<Ask>),
    Any(Vec<Ask>),
}

#[derive(Clone, Debug)]
enum Literal {
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(&'static str),
    Bool(bool),
}

/// One step of a path, for the reference.
#[derive(Clone, Copy, Debug)]
enum Step {
    Field(&'static str),
    Nth(usize),
    Last,
    Key(&'static str),
}

use Step::{Field, Key, Last, Nth};

struct Place {
    text: &'static str,
    steps: &'static [Step],
    sort: Sort,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sort {
    Number,
    Text,
    Bool,
    Message,
    List,
    Element,
}

macro_rules! place {
    ($sort:ident, $text:literal, $($step:expr),+) => {
        Place { text: $text, steps: &[$($step),+], sort: Sort::$sort }
    };
}

/// Of `rich.Everything`.
const PLACES: [Place; 26] = [
    place!(Number, "choice.before", Field("choice"), Field("before")),
    place!(Number, "choice.number", Field("choice"), Field("number")),
    place!(Number, "choice.colour", Field("choice"), Field("colour")),
    place!(Text, "choice.text", Field("choice"), Field("text")),
    place!(Text, "choice.left", Field("choice"), Field("left")),
    place!(Message, "choice.node", Field("choice"), Field("node")),
    place!(Message, "choice.time", Field("choice"), Field("time")),
    place!(Number, "choice.node.weight", Field("choice"), Field("node"), Field("weight")),
    place!(Number, "scalars.a_sint32", Field("scalars"), Field("a_sint32")),
    place!(Number, "scalars.a_uint64", Field("scalars"), Field("a_uint64")),
    place!(Number, "scalars.a_double", Field("scalars"), Field("a_double")),
    place!(Number, "scalars.a_float", Field("scalars"), Field("a_float")),
    place!(Number, "scalars.maybe_int", Field("scalars"), Field("maybe_int")),
    place!(Bool, "scalars.a_bool", Field("scalars"), Field("a_bool")),
    place!(Text, "scalars.maybe_string", Field("scalars"), Field("maybe_string")),
    place!(
        Number,
        "node.children[1].weight",
        Field("node"),
        Field("children"),
        Nth(1),
        Field("weight")
    ),
    place!(
        Number,
        "node.children[-1].child.weight",
        Field("node"),
        Field("children"),
        Last,
        Field("child"),
        Field("weight")
    ),
    place!(List, "node.children", Field("node"), Field("children")),
    place!(
        List,
        "node.children[0].children",
        Field("node"),
        Field("children"),
        Nth(0),
        Field("children")
    ),
    place!(List, "more", Field("more")),
    place!(Message, "more[0].node", Field("more"), Nth(0), Field("node")),
    place!(List, "lists.ints", Field("lists"), Field("ints")),
    place!(Element, "lists.ints[-1]", Field("lists"), Field("ints"), Last),
    place!(Number, "more[-1].choice.number", Field("more"), Last, Field("choice"), Field("number")),
    place!(Element, "maps.ints[-1]", Field("maps"), Field("ints"), Key("-1")),
    place!(
        Number,
        "maps.nodes[0].weight",
        Field("maps"),
        Field("nodes"),
        Key("0"),
        Field("weight")
    ),
];

const RELATIONS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

impl Literal {
    fn text(&self) -> String {
        match self {
            Literal::Int(value) => value.to_string(),
            Literal::Uint(value) => format!("{value}u"),
            Literal::Double(value) => format!("{value:?}"),
            Literal::Text(text) => format!("{text:?}"),
            Literal::Bool(value) => value.to_string(),
        }
    }

    fn value(&self) -> Value {
        match self {
            Literal::Int(value) => Value::I64(*value),
            Literal::Uint(value) => Value::U64(*value),
            Literal::Double(value) => Value::F64(*value),
            Literal::Text(text) => Value::String((*text).to_owned()),
            Literal::Bool(value) => Value::Bool(*value),
        }
    }
}

impl Ask {
    fn text(&self) -> String {
        let joined = |asks: &[Ask], symbol: &str| {
            let parts: Vec<String> = asks.iter().map(|ask| format!("({})", ask.text())).collect();
            parts.join(symbol)
        };
        match self {
            Ask::Has(place) => format!("has({})", PLACES[*place].text),
            Ask::Compare(place, relation, literal) => {
                format!("{} {relation} {}", PLACES[*place].text, literal.text())
            }
            Ask::CompareFields(left, relation, right) => {
                format!("{} {relation} {}", PLACES[*left].text, PLACES[*right].text)
            }
            Ask::In(place, literals) => {
                let items: Vec<String> = literals.iter().map(Literal::text).collect();
                format!("{} in [{}]", PLACES[*place].text, items.join(", "))
            }
            Ask::Size(place, relation, size) => {
                format!("size({}) {relation} {size}", PLACES[*place].text)
            }
            Ask::Starts(place, text) => format!("{}.startsWith({text:?})", PLACES[*place].text),
            Ask::Not(inner) => format!("!({})", inner.text()),
            Ask::All(asks) => joined(asks, " && "),
            Ask::Any(asks) => joined(asks, " || "),
        }
    }

    /// What CEL says of a decoded message.
    fn answer(&self, root: &DynamicMessage) -> Option<bool> {
        match self {
            Ask::Has(place) => is_set(root, PLACES[*place].steps),
            Ask::Compare(place, relation, literal) => {
                Some(holds(&read(root, PLACES[*place].steps)?, relation, &literal.value()))
            }
            Ask::CompareFields(left, relation, right) => {
                let left = read(root, PLACES[*left].steps)?;
                Some(holds(&left, relation, &read(root, PLACES[*right].steps)?))
            }
            Ask::In(place, literals) => {
                let value = read(root, PLACES[*place].steps)?;
                Some(literals.iter().any(|literal| holds(&value, "==", &literal.value())))
            }
            Ask::Size(place, relation, size) => {
                let length = match read(root, PLACES[*place].steps)? {
                    Value::List(list) => list.len(),
                    Value::String(text) => text.chars().count(),
                    other => panic!("{other:?} has no size"),
                };
                Some(holds(&Value::I64(length as i64), relation, &Value::I64(*size)))
            }
            Ask::Starts(place, text) => {
                let Value::String(value) = read(root, PLACES[*place].steps)? else { panic!() };
                Some(value.starts_with(text))
            }
            Ask::Not(inner) => inner.answer(root).map(|answer| !answer),
            Ask::All(asks) => {
                let answers: Vec<_> = asks.iter().map(|ask| ask.answer(root)).collect();
                if answers.contains(&Some(false)) {
                    return Some(false);
                }
                if answers.contains(&None) { None } else { Some(true) }
            }
            Ask::Any(asks) => {
                let answers: Vec<_> = asks.iter().map(|ask| ask.answer(root)).collect();
                if answers.contains(&Some(true)) {
                    return Some(true);
                }
                if answers.contains(&None) { None } else { Some(false) }
            }
        }
    }
}

/// A value; a field that is not there has its default, an element that is not there none.
fn read(root: &DynamicMessage, steps: &[Step]) -> Option<Value> {
    let mut value = Value::Message(root.clone());
    for step in steps {
        value = match step {
            Field(name) => {
                let message = value.as_message().unwrap();
                message.get_field_by_name(name).unwrap().into_owned()
            }
            Nth(position) => value.as_list().unwrap().get(*position)?.clone(),
            Last => value.as_list().unwrap().last()?.clone(),
            Key(key) => {
                let map = value.as_map().unwrap();
                let is = |found: &MapKey| match found {
                    MapKey::I32(found) => found.to_string() == *key,
                    MapKey::U64(found) => found.to_string() == *key,
                    _ => panic!("no other keys are asked for"),
                };
                map.iter().find(|(found, _)| is(found))?.1.clone()
            }
        };
    }
    Some(value)
}

fn is_set(root: &DynamicMessage, steps: &[Step]) -> Option<bool> {
    let (last, way) = steps.split_last().unwrap();
    let Field(name) = last else { panic!("has() asks for a field") };
    let parent = read(root, way)?;
    let message = parent.as_message().unwrap();
    let field = message.descriptor().get_field_by_name(name).unwrap();
    // prost-reflect counts a negative zero as the default; on the wire it is another value.
    let is_negative_zero = match message.get_field(&field).as_ref() {
        Value::F64(value) => value.to_bits() == (-0.0_f64).to_bits(),
        Value::F32(value) => value.to_bits() == (-0.0_f32).to_bits(),
        _ => false,
    };
    Some(message.has_field(&field) || is_negative_zero)
}

/// A different way to the same order: decimal text decides nothing here, so wide numbers do.
fn holds(left: &Value, relation: &str, right: &Value) -> bool {
    use std::cmp::Ordering;
    let order = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => match (whole(left), whole(right)) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            // All whole numbers that are asked for beside a double are exact as doubles.
            _ => double(left).partial_cmp(&double(right)),
        },
    };
    match relation {
        "==" => order == Some(Ordering::Equal),
        "!=" => order != Some(Ordering::Equal),
        "<" => order == Some(Ordering::Less),
        "<=" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        ">" => order == Some(Ordering::Greater),
        _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::I32(value) | Value::EnumNumber(value) => Some((*value).into()),
        Value::I64(value) => Some((*value).into()),
        Value::U32(value) => Some((*value).into()),
        Value::U64(value) => Some((*value).into()),
        _ => None,
    }
}

fn double(value: &Value) -> f64 {
    match value {
        Value::F64(value) => *value,
        Value::F32(value) => (*value).into(),
        other => whole(other).unwrap() as f64,
    }
}

fn literal(sort: Sort) -> BoxedStrategy<Literal> {
    match sort {
        Sort::Text => prop::sample::select(vec!["", "plain", "grüße 🦀", "foo_bar.baz"])
            .prop_map(Literal::Text)
            .boxed(),
        Sort::Bool => any::<bool>().prop_map(Literal::Bool).boxed(),
        _ => prop_oneof![
            (-3_i64..3).prop_map(Literal::Int),
            (0_u64..3).prop_map(Literal::Uint),
            prop::sample::select(vec![i64::from(i32::MIN), 70_000, 1 << 40]).prop_map(Literal::Int),
            prop::sample::select(vec![-0.5, 0.0, 1.5, 1e9]).prop_map(Literal::Double),
        ]
        .boxed(),
    }
}

fn places(wanted: impl Fn(Sort) -> bool) -> BoxedStrategy<usize> {
    let found: Vec<usize> = (0..PLACES.len()).filter(|place| wanted(PLACES[*place].sort)).collect();
    prop::sample::select(found).boxed()
}

fn asks() -> BoxedStrategy<Ask> {
    let is_value = |sort| matches!(sort, Sort::Number | Sort::Text | Sort::Bool | Sort::Element);
    let is_number = |sort| matches!(sort, Sort::Number | Sort::Element);
    let relation = || prop::sample::select(RELATIONS.to_vec());
    let leaf = prop_oneof![
        places(|sort| sort != Sort::Element).prop_map(Ask::Has),
        (places(is_value), relation()).prop_flat_map(|(place, relation)| {
            literal(PLACES[place].sort)
                .prop_map(move |literal| Ask::Compare(place, relation, literal))
        }),
        places(is_value).prop_flat_map(|place| {
            prop::collection::vec(literal(PLACES[place].sort), 1..4)
                .prop_map(move |literals| Ask::In(place, literals))
        }),
        (places(is_number), relation(), places(is_number)).prop_filter_map(
            "a wide whole number is not exact as a double",
            |(left, relation, right)| {
                let is_wide = |place: usize| {
                    ["scalars.a_uint64", "scalars.a_double", "scalars.a_float"]
                        .contains(&PLACES[place].text)
                };
                let is_exact = !is_wide(left) || !is_wide(right) || left == right;
                is_exact.then_some(Ask::CompareFields(left, relation, right))
            }
        ),
        (places(|sort| matches!(sort, Sort::List | Sort::Text)), relation(), 0_i64..4)
            .prop_map(|(place, relation, size)| Ask::Size(place, relation, size)),
        (places(|sort| sort == Sort::Text), prop::sample::select(vec!["", "p", "gr"]))
            .prop_map(|(place, text)| Ask::Starts(place, text)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|ask| Ask::Not(Box::new(ask))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Ask::All),
            prop::collection::vec(inner, 2..4).prop_map(Ask::Any),
        ]
    })
    .boxed()
}

thread_local! {
    static SUBJECT: MessageDescriptor = message("rich.Everything");
}

/// What was answered, or the difference.
fn compare(ask: &Ask, entropy: &[u8]) -> Result<Option<bool>, String> {
    SUBJECT.with(|descriptor| {
        let wire = Maker::new(entropy, false).message(descriptor, 0);
        let Ok(message) = DynamicMessage::decode(descriptor.clone(), &wire[..]) else {
            return Ok(None);
        };
        let text = ask.text();
        let predicate =
            Predicate::compile(&text, descriptor).map_err(|error| format!("{text}: {error:?}"))?;
        let (found, expected) = (predicate.holds(&wire), ask.answer(&message));
        if found == (expected == Some(true)) {
            return Ok(Some(found));
        }
        Err(format!("{text}: found {found}, expected {expected:?} of {wire:x?}"))
    })
}

#[test]
fn a_predicate_answers_what_the_decoded_message_answers() {
    let strategy = (asks(), prop::collection::vec(any::<u8>(), 0..300));
    property!("predicate-holds", 8.0, 2)
        .holds(&strategy, |(ask, entropy)| compare(&ask, &entropy).map(drop));
}

#[test]
fn random_predicates_hold_and_fail_often_enough_to_compare_something() {
    use proptest::strategy::{Strategy as _, ValueTree as _};
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (asks(), prop::collection::vec(any::<u8>(), 100..300));
    let (mut held, mut failed) = (0, 0);
    for _ in 0..2000 {
        let (ask, entropy) = strategy.new_tree(&mut runner).unwrap().current();
        match compare(&ask, &entropy).unwrap() {
            Some(true) => held += 1,
            Some(false) => failed += 1,
            None => {}
        }
    }
    assert!(held > 400 && failed > 400, "{held} held, {failed} failed");
}

#[test]
fn random_text_never_panics() {
    let pieces = prop::sample::select(vec![
        "has", "(", ")", "before", ".", "left", "==", "'a'", "[", "]", "-", "1", "1u", "1.5", "in",
        "&&", "||", "!", "\\", "\"", "b'", "r'", "é", "0x", "1e", ",", " ", "//", "node",
        "matches",
    ]);
    let strategy = prop::collection::vec(pieces, 0..20);
    property!("predicate-text", 4.0, 2).holds(&strategy, |pieces| {
        let text = pieces.concat();
        if let Err(error) = Predicate::compile(&text, &message_of_choice())
            && error.column > text.len()
        {
            return Err(format!("{text}: {error:?}"));
        }
        Ok(())
    });
}

fn message_of_choice() -> MessageDescriptor {
    thread_local! {
        static CHOICE: MessageDescriptor = message("rich.Choice");
    }
    CHOICE.with(Clone::clone)
}
