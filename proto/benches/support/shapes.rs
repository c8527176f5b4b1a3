//! The shapes of message that are measured, each with 256 messages.
//!
//! Why these: one is the work of the performance page; the others are each made of one thing
//! (numbers, text, nesting, long lists), so that no part of the transcoder is slow unseen.

use std::collections::HashMap;

use headwater_proto::telemetry::{Event, Location, Status};
use headwater_proto::{DescriptorInput, Descriptors, MessageDescriptor};
use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};

/// One shape: many messages of a type, alike in form and different in what they hold.
pub struct Shape {
    pub name: &'static str,
    pub descriptor: MessageDescriptor,
    pub messages: Vec<Vec<u8>>,
}

/// All shapes.
pub fn shapes() -> Vec<Shape> {
    let folder = env!("CARGO_MANIFEST_DIR");
    let load = |file: &str, include: &str| {
        let input = DescriptorInput::Protos {
            files: vec![format!("{folder}/{file}").into()],
            includes: vec![format!("{folder}/{include}").into()],
        };
        Descriptors::load(&input).expect("the bench's sources compile").pool().clone()
    };
    let bench = load("protos/telemetry.proto", "protos");
    let rich = load("tests/protos/rich3.proto", "tests/protos");
    let shape = |name, pool: &prost_reflect::DescriptorPool, message: &str, make: &Make<'_>| {
        let descriptor = pool.get_message_by_name(message).expect("the sources have it");
        let messages = (0..256).map(|index| make(&descriptor, index)).collect();
        Shape { name, descriptor, messages }
    };
    vec![
        shape("telemetry", &bench, "bench.v1.Event", &|_, index| event(index).encode_to_vec()),
        shape("flat-numbers", &rich, "rich.Scalars", &flat),
        shape("text-heavy", &rich, "rich.Lists", &texts),
        shape("deep-nesting", &rich, "rich.Node", &deep),
        shape("large-repeated", &rich, "rich.Lists", &repeated),
        shape("well-known", &rich, "rich.WellKnown", &well_known),
        shape("out-of-order", &bench, "bench.v1.Event", &|_, index| disordered(index)),
    ]
}

/// Makes the message of an index.
type Make<'f> = dyn Fn(&MessageDescriptor, u64) -> Vec<u8> + 'f;

/// The work of the performance page: about 160 bytes, twelve fields.
fn event(index: u64) -> Event {
    let labels = [("zone", "a"), ("rack", "r17"), ("firmware", "4.2.1")];
    Event {
        sequence: 1_000_000 + index,
        emitted_ns: 1_700_000_000_000_000_000 + index as i64 * 1_000_003,
        device_id: format!("device-{:05}", index * 37 % 10_000),
        site: "plant-north".to_owned(),
        temperature: 20.0 + index as f64 * 0.137,
        humidity: 40.5 + index as f64 / 7.0,
        alarm: index.is_multiple_of(5),
        status: Status::Ok.into(),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        samples: (0..6).map(|sample| sample * 311 - 700 + index as i32).collect(),
        location: Some(Location { lat: 52.52 + index as f64 * 1e-4, lon: 13.405 }),
        payload: vec![index as u8; 16],
    }
}

/// The same with the nested message and the map first, as some senders write oneofs and maps.
fn disordered(index: u64) -> Vec<u8> {
    let event = event(index);
    let late = Event {
        location: event.location,
        labels: event.labels.clone(),
        samples: event.samples.clone(),
        ..Event::default()
    };
    let early = Event { location: None, labels: HashMap::new(), samples: Vec::new(), ..event };
    let mut wire = late.encode_to_vec();
    wire.extend(early.encode_to_vec());
    wire
}

fn flat(descriptor: &MessageDescriptor, index: u64) -> Vec<u8> {
    let mut message = DynamicMessage::new(descriptor.clone());
    let number = index as i32 * 7919 - 1_000_000;
    for (name, value) in [
        ("a_bool", Value::Bool(true)),
        ("an_int32", Value::I32(number)),
        ("a_sint32", Value::I32(-number)),
        ("a_sfixed32", Value::I32(number / 3)),
        ("an_int64", Value::I64(i64::from(number) << 20)),
        ("a_sint64", Value::I64(-i64::from(number))),
        ("a_uint32", Value::U32(index as u32 + 1)),
        ("a_uint64", Value::U64(index << 40 | 1)),
        ("a_fixed64", Value::U64(index + 1)),
        ("a_float", Value::F32(index as f32 * 0.37 + 0.1)),
        ("a_double", Value::F64(index as f64 * 1.000_37 + 0.1)),
        ("a_colour", Value::EnumNumber(1)),
    ] {
        message.set_field_by_name(name, value);
    }
    message.encode_to_vec()
}

fn texts(descriptor: &MessageDescriptor, index: u64) -> Vec<u8> {
    let texts = [
        "a plain sentence of about forty letters",
        "one with a \"quotation\" and a\nline break",
        "eine Zeile mit Umlauten: größer, schöner",
        "/var/log/service/2024-05-01/part-00017.log",
    ];
    let values = (0..8).map(|at| Value::String(format!("{} {index}", texts[at % texts.len()])));
    let mut message = DynamicMessage::new(descriptor.clone());
    message.set_field_by_name("strings", Value::List(values.collect()));
    message.encode_to_vec()
}

fn deep(descriptor: &MessageDescriptor, index: u64) -> Vec<u8> {
    let node = |child: Option<DynamicMessage>, level: u64| {
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name("name", Value::String(format!("level {level}")));
        message.set_field_by_name("weight", Value::I32((index + level) as i32));
        if let Some(child) = child {
            message.set_field_by_name("child", Value::Message(child));
        }
        message
    };
    (1..20).fold(node(None, 0), |child, level| node(Some(child), level)).encode_to_vec()
}

fn repeated(descriptor: &MessageDescriptor, index: u64) -> Vec<u8> {
    let mut message = DynamicMessage::new(descriptor.clone());
    let ints = (0..500).map(|at| Value::I32(at * 17 - index as i32));
    let doubles = (0..200).map(|at| Value::F64(f64::from(at) * 0.25 + index as f64));
    message.set_field_by_name("ints", Value::List(ints.collect()));
    message.set_field_by_name("doubles", Value::List(doubles.collect()));
    message.encode_to_vec()
}

fn well_known(descriptor: &MessageDescriptor, index: u64) -> Vec<u8> {
    let json = serde_json::json!({
        "time": "2024-05-01T12:34:56.789Z",
        "duration": format!("{index}.5s"),
        "wrappedInt64": index.to_string(),
        "wrappedString": "text",
        "times": ["2024-05-01T12:34:56Z", "1999-12-31T23:59:59.999999999Z"],
    });
    let message = DynamicMessage::deserialize(descriptor.clone(), json);
    message.expect("the bench's own JSON fits").encode_to_vec()
}
