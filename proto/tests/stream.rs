//! Goal: what a client says on a request stream is what it was told to say: every element of a list
//! is found, a value lands in its field in the form of its type, an answer bears what it answers.
//! Method: named cases over messages with lists in lists and fields of every integer type; what was
//! written is read back by prost-reflect.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use headwater_proto::{
    FieldWriter, Leaf, LeafKind, Reply, RequestTemplate, SpreadPath, WriterError,
};
use prost_reflect::{DynamicMessage, Value as FieldValue};
use serde_json::{Value, json};
use support::message;

fn spread(name: &str, text: &str) -> SpreadPath {
    SpreadPath::compile(&message(name), text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn wire(name: &str, value: &Value) -> Vec<u8> {
    RequestTemplate::compile(&message(name), value).unwrap().encode().to_vec()
}

/// The values, as text.
fn found(path: &SpreadPath, wire: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    path.each(wire, &mut |leaf| {
        found.push(match leaf {
            Leaf::Text(text) => text.to_owned(),
            Leaf::Int(number) => number.to_string(),
            Leaf::Uint(number) => number.to_string(),
            Leaf::Message(bytes) => format!("{} bytes", bytes.len()),
            other => format!("{other:?}"),
        });
    })
    .unwrap();
    found
}

fn back(name: &str, wire: &[u8]) -> Value {
    let message = DynamicMessage::decode(message(name), wire).unwrap();
    serde_json::to_value(message).unwrap()
}

#[test]
fn every_element_of_lists_in_lists_is_given_in_its_order() {
    let tree = wire(
        "rich.Node",
        &json!({"children": [
            {"name": "a", "children": [{"name": "a1"}, {"name": "a2"}]},
            {"name": "b"},
            {"child": {"name": "skipped"}, "children": [{"name": "c1", "child": {"weight": 7}}]},
        ]}),
    );
    assert_eq!(found(&spread("rich.Node", "children[].name"), &tree), ["a", "b", ""]);
    assert_eq!(
        found(&spread("rich.Node", "children[].children[].name"), &tree),
        ["a1", "a2", "c1"]
    );
    assert_eq!(found(&spread("rich.Node", "children[].child.name"), &tree), ["skipped"]);
    let weights = spread("rich.Node", "children[].children[].child.weight");
    assert_eq!(found(&weights, &tree), ["7"]);
    assert_eq!(spread("rich.Node", "children[]").count(&tree), 3);
    let nested = wire("rich.Node", &json!({"child": {"children": [{}, {"weight": 1}]}}));
    assert_eq!(found(&spread("rich.Node", "child.children[]"), &nested), ["0 bytes", "2 bytes"]);
    assert_eq!(spread("rich.Node", "child.children[]").count(&tree), 0);
}

#[test]
fn lists_of_scalars_are_read_packed_or_not() {
    let lists = wire(
        "rich.Lists",
        &json!({"ints": [1, -2], "zigzags": [-3, 4], "fixeds": [5, 6], "strings": ["x", ""]}),
    );
    for (path, values) in [
        ("ints[]", vec!["1", "-2"]),
        ("zigzags[]", vec!["-3", "4"]),
        ("fixeds[]", vec!["5", "6"]),
        ("strings[]", vec!["x", ""]),
        ("strings[-1]", vec![""]),
        ("longs[]", vec![]),
    ] {
        assert_eq!(found(&spread("rich.Lists", path), &lists), values, "{path}");
    }
    assert!(spread("rich.Lists", "ints[]").is_list());
    assert!(!spread("rich.Lists", "ints[0]").is_list());
    assert_eq!(spread("rich.Lists", "messages[]").kind(), LeafKind::Message);
    assert_eq!(spread("rich.Lists", "messages[].a_string").kind(), LeafKind::Text);
}

#[test]
fn a_key_may_hold_brackets() {
    let named = wire("rich.Node", &json!({"named": {"x[]": {"children": [{"name": "in"}]}}}));
    let path = spread("rich.Node", "named[\"x[]\"].children[].name");
    assert_eq!(found(&path, &named), ["in"]);
}

#[test]
fn what_stands_before_a_broken_part_is_given() {
    let mut broken = wire("rich.Lists", &json!({"strings": ["x", "y"]}));
    broken.extend([0x42, 9]);
    let (path, mut count) = (spread("rich.Lists", "strings[]"), 0);
    assert!(path.each(&broken, &mut |_| count += 1).is_err());
    assert_eq!((count, path.count(&broken)), (2, 2));
    let wrong_type = [0x40, 1];
    assert!(path.each(&wrong_type, &mut |_| {}).is_err());
}

#[test]
fn a_path_that_does_not_fit_names_its_place() {
    for (text, column, expected) in [
        ("", 0, "expected a field name"),
        ("children[].nam", 11, "no field \"nam\""),
        ("childrn[].name", 0, "no field \"childrn\""),
        ("child[].name", 0, "is not a list"),
        ("named[].name", 0, "is not a list"),
        ("children[0][]", 8, "two indexes"),
        ("children.name", 0, "is repeated"),
        ("children[]x", 10, "no field \"x\""),
        ("children[].", 10, "expected a field name"),
        ("name.x[]", 0, "is not a message"),
        ("children[].name[]", 11, "is not a list"),
    ] {
        let error = SpreadPath::compile(&message("rich.Node"), text).unwrap_err();
        assert!(error.message.contains(expected), "{text}: {error}");
        assert_eq!(error.column, column, "{text}: {error}");
    }
    let error = SpreadPath::compile(&message("rich.Lists"), "strings[].x").unwrap_err();
    assert!(error.message.contains("expected the path to end at []"), "{error}");
}

#[test]
fn numbers_land_in_fields_of_every_type_and_only_within_their_range() {
    let ranges: [(&str, i128, i128); 10] = [
        ("an_int32", i32::MIN.into(), i32::MAX.into()),
        ("a_sint32", i32::MIN.into(), i32::MAX.into()),
        ("a_sfixed32", i32::MIN.into(), i32::MAX.into()),
        ("an_int64", i64::MIN.into(), i64::MAX.into()),
        ("a_sint64", i64::MIN.into(), i64::MAX.into()),
        ("a_sfixed64", i64::MIN.into(), i64::MAX.into()),
        ("a_uint32", 0, u32::MAX.into()),
        ("a_fixed32", 0, u32::MAX.into()),
        ("a_uint64", 0, u64::MAX.into()),
        ("a_fixed64", 0, u64::MAX.into()),
    ];
    for (field, least, most) in ranges {
        let writer = FieldWriter::compile(&message("rich.Scalars"), field, &Value::Null).unwrap();
        assert!(writer.is_integer() && !writer.is_list());
        for number in [least, most, 1] {
            let mut values = Vec::new();
            assert!(writer.put_number(number, &mut values), "{field}: {number}");
            let decoded =
                DynamicMessage::decode(message("rich.Scalars"), writer.message(&values)).unwrap();
            let read = match &*decoded.get_field_by_name(field).unwrap() {
                FieldValue::I32(read) => (*read).into(),
                FieldValue::I64(read) => (*read).into(),
                FieldValue::U32(read) => (*read).into(),
                FieldValue::U64(read) => (*read).into(),
                other => panic!("{other:?}"),
            };
            assert_eq!(number, read, "{field}");
        }
        for number in [least - 1, most + 1] {
            let mut values = Vec::new();
            assert!(!writer.put_number(number, &mut values), "{field}: {number}");
            assert!(values.is_empty());
        }
    }
}

#[test]
fn values_join_what_else_the_request_says_and_go_into_inner_messages() {
    let node = message("rich.Node");
    let fixed = json!({"name": "n", "child": {"weight": 5}});
    let writer = FieldWriter::compile(&node, "child.child.name", &fixed).unwrap();
    let mut values = Vec::new();
    assert!(writer.put(&Leaf::Text("deep"), &mut values));
    let expected = json!({"name": "n", "child": {"weight": 5, "child": {"name": "deep"}}});
    assert_eq!(back("rich.Node", &writer.message(&values)), expected);
}

#[test]
fn what_was_written_for_one_list_can_be_written_for_another() {
    let lists = message("rich.Lists");
    let writer = |field| FieldWriter::compile(&lists, field, &Value::Null).unwrap();
    let (strings, blobs) = (writer("strings"), writer("blobs"));
    let mut values = Vec::new();
    assert!(strings.put(&Leaf::Text("a"), &mut values));
    assert!(strings.put(&Leaf::Text(""), &mut values));
    assert_eq!(back("rich.Lists", &strings.message(&values)), json!({"strings": ["a", ""]}));
    let mut again = Vec::new();
    strings.put_again(&values, &mut again);
    assert_eq!(again, values);
    assert!(!strings.is_like(&blobs) && strings.is_like(&writer("strings")));
    for (field, number) in [("ints", -7), ("zigzags", -7), ("fixeds", 7), ("longs", 7)] {
        let writer = writer(field);
        let (mut values, mut again) = (Vec::new(), Vec::new());
        assert!(writer.put_number(number, &mut values));
        assert!(writer.put_number(number, &mut values));
        writer.put_again(&values, &mut again);
        assert_eq!(values, again, "{field}");
        assert!(writer.is_list());
    }
}

#[test]
fn every_mistake_of_a_written_field_is_told() {
    let node = message("rich.Node");
    let told = |field: &str, fixed: &Value| {
        let errors = FieldWriter::compile(&node, field, fixed).unwrap_err();
        let texts = errors.into_iter().map(|error| match error {
            WriterError::Field { message, hint } => format!("{message}; {hint:?}"),
            WriterError::Fixed(error) => error.to_string(),
        });
        texts.collect::<Vec<_>>().join("\n")
    };
    assert!(told("nam", &json!({"wight": 1})).contains("no field \"nam\""));
    assert!(told("nam", &json!({"wight": 1})).contains("wight"));
    assert!(told("children.name", &Value::Null).contains("not a single message"));
    assert!(told("named", &Value::Null).contains("a map or a group"));
    let writer = FieldWriter::compile(&node, "weight", &Value::Null).unwrap();
    assert!(writer.takes(&spread("rich.Node", "children[].weight")));
    assert!(!writer.takes(&spread("rich.Node", "children[].name")));
    let child = FieldWriter::compile(&node, "children", &Value::Null).unwrap();
    assert!(child.takes(&spread("rich.Node", "child")));
    assert!(!child.takes(&spread("rich.Choice", "scalars")), "another message type");
}

#[test]
fn an_answer_bears_what_it_answers_and_defaults_where_nothing_stood() {
    let (node, choice) = (message("rich.Node"), message("rich.Choice"));
    let send = json!({
        "name": "${message.text}",
        "weight": "${message.after}",
        "children": [{"weight": "${message.node.weight}"}, {"name": "fixed"}],
        "child": "${message.node}",
    });
    let reply = Reply::compile(&node, &choice, &send).unwrap();
    let asked = wire("rich.Choice", &json!({"node": {"weight": 3, "name": "n"}, "after": -9}));
    let expected = json!({
        "weight": -9, "child": {"weight": 3, "name": "n"},
        "children": [{"weight": 3}, {"name": "fixed"}],
    });
    assert_eq!(back("rich.Node", &reply.fill(&asked).unwrap()), expected);
    let bare = json!({"child": {}, "children": [{}, {"name": "fixed"}]});
    assert_eq!(back("rich.Node", &reply.fill(b"").unwrap()), bare);
    assert!(reply.fill(&[0xff]).is_err(), "a broken message has no answer");
}

#[test]
fn every_mistake_of_an_answer_is_told_once() {
    let (node, choice) = (message("rich.Node"), message("rich.Choice"));
    let send = json!({
        "nme": 1,
        "name": "${message.txt}",
        "weight": "${message.text}",
        "children": [{"name": "${cursor.seq}"}],
    });
    let errors = Reply::compile(&node, &choice, &send).unwrap_err();
    let mut places: Vec<String> = errors.iter().map(ToString::to_string).collect();
    places.sort();
    assert_eq!(places.len(), 4, "{places:#?}");
    assert!(places[0].starts_with("children[0].name: \"${cursor.seq}\" stands here"));
    assert!(places[1].starts_with("name: in \"${message.txt}\": message rich.Choice has no field"));
    assert!(places[2].starts_with("nme: message rich.Node has no field"));
    assert!(places[3].starts_with("weight: field \"text\" is of type string"));
    let errors = RequestTemplate::compile(&node, &json!({"name": "${message.text}"})).unwrap_err();
    assert!(errors[0].message.contains("where no message is known"), "{}", errors[0]);
}
