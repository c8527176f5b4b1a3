//! What sends traces and metrics to an OpenTelemetry collector.

use clap::{Args, ValueEnum};

/// Where traces and metrics go; the rest is said by OpenTelemetry's variables.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Otlp {
    /// Send traces and metrics to this OpenTelemetry collector, by OTLP; `off` sends nothing.
    ///
    /// In place of the variable OTEL_EXPORTER_OTLP_ENDPOINT. Left out, and without that variable:
    /// nothing is sent.
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,

    /// How the collector is spoken to; port 4318 is usually `http/protobuf`, port 4317 `grpc`.
    ///
    /// In place of the variable OTEL_EXPORTER_OTLP_PROTOCOL. Left out, and without that variable:
    /// http/protobuf.
    #[arg(long, value_name = "PROTOCOL")]
    pub(crate) otlp_protocol: Option<OtlpProtocol>,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OtlpProtocol {
    /// gRPC.
    Grpc,
    /// Protobuf in the body of an HTTP request.
    #[value(name = "http/protobuf")]
    Http,
}
