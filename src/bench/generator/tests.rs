//! What a generator sends: numbers from where a request asks, in whatever field holds the cursor.

use super::{Numbered, Order, Stage};
use crate::load::Text;
use bytes::Bytes;
use headwater_operators::source::grpc::GrpcSource;
use headwater_proto::Leaf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tempfile::TempDir;
use tokio_stream::Stream as _;

const PROTO: &str = r#"
syntax = "proto3";
package feed;
import "google/protobuf/timestamp.proto";
message Event {
  string name = 1;
  bytes replay_id = 2;
  oneof of { sint32 low = 3; string text = 4; }
}
message Answer {
  repeated Event events = 1;
  google.protobuf.Timestamp at = 2;
  uint64 number = 3;
  string token = 4;
  Event one = 5;
}
message Ask {
  bytes replay_id = 1;
  google.protobuf.Timestamp at = 2;
  uint64 number = 3;
  string token = 4;
  int32 low = 5;
}
service Feed { rpc Watch(Ask) returns (stream Answer); }
"#;

/// A stage for a source whose cursor stands in `from` and goes into `field` of the request.
fn stage(from: &str, field: &str, position: &str, messages: Option<u64>) -> Arc<Stage> {
    let folder = TempDir::new().expect("a temporary folder");
    let text = format!(
        r#"
pipeline: feed
sources:
  feed:
    kind: grpc
    endpoint: http://127.0.0.1:1
    method: feed.Feed/Watch
    descriptors: {{ protos: [feed.proto] }}
    resume:
      cursor: {{ at: {{ from: "{from}" }} }}
      position: {position}
      restart: {{ set: {{ {field}: "${{cursor.at}}" }} }}
decoders:
  json: {{ kind: protobuf, from: feed, to: json }}
sinks:
  out: {{ kind: discard, from: json }}
"#
    );
    std::fs::write(folder.path().join("feed.proto"), PROTO).expect("a writable folder");
    std::fs::write(folder.path().join("feed.yaml"), text).expect("a writable folder");
    let text = Text::read(&folder.path().join("feed.yaml")).expect("it was just written");
    let plan = Arc::new(text.check().unwrap_or_else(|told| panic!("{told}")));
    let order = Order { text, rate: None, messages, message_bytes: 0, seed: 7 };
    Arc::new(Stage::new(&plan, 0, &order).expect("a cursor that ascends"))
}

fn all(mut numbered: Numbered) -> Vec<Bytes> {
    let mut context = Context::from_waker(Waker::noop());
    let mut sent = Vec::new();
    while let Poll::Ready(Some(message)) = Pin::new(&mut numbered).poll_next(&mut context) {
        sent.push(message.expect("no call fails"));
    }
    sent
}

/// The request that goes on from the cursor of a message, as the source would make it.
fn restart(field: u8, leaf: &Leaf<'_>) -> Vec<u8> {
    let varint = |number: u64| {
        let mut out = vec![field << 3];
        prost::encoding::encode_varint(number, &mut out);
        out
    };
    let delimited = |bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).expect("cursors are short");
        [&[field << 3 | 2, length], bytes].concat()
    };
    match leaf {
        Leaf::Int(number) => varint(number.cast_unsigned()),
        Leaf::Uint(number) => varint(*number),
        Leaf::Text(text) => delimited(text.as_bytes()),
        Leaf::Bytes(bytes) => delimited(bytes),
        Leaf::Message(wire) => delimited(wire),
        other => panic!("no cursor: {other:?}"),
    }
}

#[test]
fn a_call_that_goes_on_from_a_cursor_gets_the_message_behind_it() {
    let places = [
        ("number", "number", 3),
        ("token", "token", 4),
        ("at", "at", 2),
        ("events[-1].replay_id", "replay_id", 1),
        ("one.low", "low", 5),
    ];
    for (from, name, field) in places {
        let stage = stage(from, name, "after", Some(20));
        let whole = all(Numbered::open(&stage, b""));
        assert_eq!(whole.len(), 20, "{from}");
        let source = stage.plan.nodes()[0].config::<GrpcSource>();
        let path = &source.cursor_fields()[0].path;
        let cursor = path.find(&whole[6]).expect("a message").expect("it bears a cursor");
        let rest = all(Numbered::open(&stage, &restart(field, &cursor)));
        // What tells the time may differ; here nothing does.
        assert_eq!(rest, whole[7..], "{from}");
    }
}

#[test]
fn a_server_that_is_given_the_next_value_begins_there() {
    let stage = stage("number", "number", "next", Some(20));
    assert_eq!(stage.asked(b""), 1, "without a cursor");
    assert_eq!(stage.asked(&restart(3, &Leaf::Uint(8))), 8);
}

#[test]
fn messages_are_counted_from_where_the_first_call_began() {
    let stage = stage("number", "number", "next", Some(20));
    assert_eq!(all(Numbered::open(&stage, &restart(3, &Leaf::Uint(1_000)))).len(), 20);
    assert_eq!(all(Numbered::open(&stage, &restart(3, &Leaf::Uint(1_015)))).len(), 5);
}

#[test]
fn a_number_that_its_field_cannot_bear_is_not_sent() {
    let stage = stage("one.low", "low", "next", None);
    let near = i64::from(i32::MAX) - 2;
    assert_eq!(all(Numbered::open(&stage, &restart(5, &Leaf::Int(near)))).len(), 3);
}
