//! The connector's own keys.
//!
//! Names, types and defaults are those of the class that Headwater stands for. It gives its keys no
//! bounds, and neither does a validation here; `../translate/` has them, and refuses what cannot
//! work.

use crate::connect::key::Importance::{High, Low, Medium};
use crate::connect::key::Key;
use crate::connect::kind::Kind::{Boolean, Int, Long, String};

/// The full name of the class.
pub(in crate::connect) const CLASS: &str = "io.conduktor.connect.grpc.GrpcSourceConnector";

/// Its short names.
pub(in crate::connect) const ALIASES: [&str; 2] = ["GrpcSourceConnector", "GrpcSource"];

/// The version whose behaviour is kept.
pub(in crate::connect) const VERSION: &str = "1.0.0";

/// What keys of single metadata entries begin with.
pub(in crate::connect) const METADATA_PREFIX: &str = "grpc.metadata.";

/// The keys, in the order in which they are listed.
pub(in crate::connect) fn keys() -> Vec<Key> {
    [server(), message(), security(), reconnect(), transport()].concat()
}

fn server() -> Vec<Key> {
    vec![
        Key::plain("grpc.server.host", String, High)
            .required()
            .says("The server's host: a name or an IP address."),
        Key::plain("grpc.server.port", Int, High)
            .required()
            .says("The server's port, from 1 to 65535."),
        Key::plain("grpc.service.name", String, High)
            .required()
            .says("The service with its package, as in package.Service."),
        Key::plain("grpc.method.name", String, High)
            .required()
            .says("The method of the service. It must answer with a stream."),
    ]
}

fn message() -> Vec<Key> {
    vec![
        Key::plain("grpc.request.message", String, Medium).default("{}").says(
            "The request, as JSON by the proto3 JSON mapping. It is checked before the call.",
        ),
        Key::plain("grpc.proto.descriptor", String, Medium).says(
            "Where the types come from: the path of a descriptor set as protoc writes it with \
             --include_imports, or such a set as base64 text. Left out: the server is asked, by \
             gRPC server reflection.",
        ),
        Key::plain("kafka.topic", String, High).required().says("The topic that messages go to."),
    ]
}

fn security() -> Vec<Key> {
    vec![
        Key::plain("grpc.tls.enabled", Boolean, Medium)
            .default("false")
            .says("Whether the server is called with TLS."),
        Key::plain("grpc.tls.ca.cert", String, Medium).says(
            "A PEM file with the certificate authorities to trust. Left out: those of the system.",
        ),
        Key::plain("grpc.tls.client.cert", String, Low)
            .says("A PEM file with this client's certificate, for mutual TLS."),
        Key::plain("grpc.tls.client.key", String, Low)
            .says("A PEM file with the private key of the client's certificate."),
        Key::plain("grpc.metadata", String, Low).says(
            "Metadata sent with the call, as key:value pairs parted by commas. An entry whose \
             value has a comma is written with a key of its own, grpc.metadata.KEY.",
        ),
    ]
}

fn reconnect() -> Vec<Key> {
    vec![
        Key::plain("grpc.reconnect.enabled", Boolean, Medium)
            .default("true")
            .says("Whether another call follows one that was lost or that the server ended."),
        Key::plain("grpc.reconnect.interval.ms", Long, Medium)
            .default("5000")
            .says("How long to wait before the first further call, in milliseconds."),
        Key::plain("grpc.reconnect.max.attempts", Int, Medium).default("-1").says(
            "How many further calls in a row may fail before the connector stops; -1: any number.",
        ),
        Key::plain("grpc.reconnect.backoff.max.ms", Long, Medium)
            .default("60000")
            .says("The longest wait between two calls, in milliseconds."),
    ]
}

fn transport() -> Vec<Key> {
    vec![
        Key::plain("grpc.message.queue.size", Int, Low).default("10000").says(
            "Without effect: what is received is bounded by its bytes, and a full buffer slows the \
             server instead of dropping messages.",
        ),
        Key::plain("grpc.connection.timeout.ms", Long, Low)
            .default("30000")
            .says("How long connecting to the server may take, in milliseconds."),
        Key::plain("grpc.keepalive.time.ms", Long, Low).default("30000").says(
            "How long a connection is silent before it is pinged, in milliseconds; 0: for ever.",
        ),
        Key::plain("grpc.keepalive.timeout.ms", Long, Low).default("10000").says(
            "How long the answer to a ping may take before the connection is given up, in \
             milliseconds.",
        ),
        Key::plain("grpc.max.inbound.message.size", Int, Low)
            .default("4194304")
            .says("The largest message that is accepted, in bytes."),
    ]
}
