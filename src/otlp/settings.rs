//! From the command line and OpenTelemetry's variables to what is sent, where and how.
//!
//! The variables are those of the OpenTelemetry specification ("OTLP exporter configuration",
//! "General SDK configuration"): each has a form for traces and metrics apart, which takes
//! precedence, and an empty one counts as unset. Two things are not as there: without an endpoint
//! nothing is sent, where the specification knows a default one, because who does not ask for it
//! wants no warnings about a collector that is not there; and a variable that cannot be used is a
//! mistake like one in a pipeline file, where the specification would pass over it.
//!
//! Invariants
//! 1. All mistakes are found at once.
//! 2. No value of a header is ever part of one.
//!
//! Next: `send.rs` uses a [`Target`].

use super::limits::{
    METRICS_INTERVAL, METRICS_INTERVAL_MAX, METRICS_INTERVAL_MIN, SPANS_DELAY, SPANS_DELAY_MAX,
    SPANS_QUEUED, SPANS_QUEUED_MAX, TIMEOUT, TIMEOUT_MAX,
};
use crate::args::{Otlp, OtlpProtocol};
use headwater_operators::source::grpc::ClientFiles;
use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What is to be sent; nothing of a signal that has no target.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) traces: Option<Target>,
    pub(crate) metrics: Option<Target>,
    /// How many spans may wait.
    pub(crate) spans_queued: usize,
    /// How long spans wait for others.
    pub(crate) spans_delay: Duration,
    /// How often metrics are sent.
    pub(crate) metrics_interval: Duration,
}

/// Where one signal goes, and how.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) uri: Uri,
    pub(crate) protocol: OtlpProtocol,
    pub(crate) headers: HeaderMap,
    /// For one request with all its attempts.
    pub(crate) timeout: Duration,
    pub(crate) is_packed: bool,
    /// None where there is no TLS.
    pub(crate) tls: Option<ClientConfig>,
}

/// A signal, as variables and paths name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Metrics,
}

/// Reads variables, and gathers what is wrong with them.
struct Reader<'a> {
    options: &'a Otlp,
    variable: &'a dyn Fn(&str) -> Option<String>,
    mistakes: Vec<String>,
}

/// Samplers of OTEL_TRACES_SAMPLER, and whether OTEL_TRACES_SAMPLER_ARG says how much.
const SAMPLERS: [(&str, bool); 6] = [
    ("always_on", false),
    ("always_off", false),
    ("traceidratio", true),
    ("parentbased_always_on", false),
    ("parentbased_always_off", false),
    ("parentbased_traceidratio", true),
];

impl Settings {
    /// Reads what this process was started with.
    ///
    /// # Errors
    /// All mistakes.
    pub(crate) fn read(options: &Otlp) -> Result<Settings, Vec<String>> {
        Settings::read_from(options, &|name| std::env::var(name).ok())
    }

    fn read_from(
        options: &Otlp,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Settings, Vec<String>> {
        let mut reader = Reader { options, variable, mistakes: Vec::new() };
        if options.otlp.as_deref() == Some("off") || reader.is_disabled() {
            return Ok(Settings::default());
        }
        let [traces, metrics] = [Signal::Traces, Signal::Metrics].map(|it| reader.is_wanted(it));
        if !traces && !metrics {
            return Ok(Settings::default());
        }
        let traces = if traces { reader.target(Signal::Traces) } else { None };
        let metrics = if metrics { reader.target(Signal::Metrics) } else { None };
        reader.check_sampler();
        let settings = Settings {
            traces,
            metrics,
            spans_queued: reader.queued(),
            spans_delay: reader.duration(
                "OTEL_BSP_SCHEDULE_DELAY",
                SPANS_DELAY,
                Duration::from_millis(1)..=SPANS_DELAY_MAX,
            ),
            metrics_interval: reader.duration(
                "OTEL_METRIC_EXPORT_INTERVAL",
                METRICS_INTERVAL,
                METRICS_INTERVAL_MIN..=METRICS_INTERVAL_MAX,
            ),
        };
        if reader.mistakes.is_empty() { Ok(settings) } else { Err(reader.mistakes) }
    }
}

impl Signal {
    /// As metrics and logs name it, and the end of its path.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Signal::Traces => "/v1/traces",
            Signal::Metrics => "/v1/metrics",
        }
    }

    fn variable(self, what: &str) -> String {
        match self {
            Signal::Traces => format!("OTEL_EXPORTER_OTLP_TRACES_{what}"),
            Signal::Metrics => format!("OTEL_EXPORTER_OTLP_METRICS_{what}"),
        }
    }

    fn exporter(self) -> &'static str {
        match self {
            Signal::Traces => "OTEL_TRACES_EXPORTER",
            Signal::Metrics => "OTEL_METRICS_EXPORTER",
        }
    }
}

impl Reader<'_> {
    /// A variable that is not empty.
    fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty())
    }

    /// The variable of a signal or, without it, that of both; with its name.
    fn get_for(&self, signal: Signal, what: &str) -> Option<(String, String)> {
        let names = [signal.variable(what), format!("OTEL_EXPORTER_OTLP_{what}")];
        names.into_iter().find_map(|name| self.get(&name).map(|value| (name, value)))
    }

    fn is_disabled(&self) -> bool {
        self.get("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"))
    }

    /// Whether somebody wants a signal sent. What is set for one that nobody wants is not judged.
    fn is_wanted(&self, signal: Signal) -> bool {
        let exporters = self.get(signal.exporter());
        let is_ours = exporters.is_none_or(|it| it.split(',').any(|it| it.trim() == "otlp"));
        is_ours && (self.options.otlp.is_some() || self.get_for(signal, "ENDPOINT").is_some())
    }

    fn wrong(&mut self, name: &str, expected: impl Display) {
        let mistake = format!("{name}: {expected}");
        // Both signals may read the same variable.
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// Where a signal goes; none after a mistake.
    fn target(&mut self, signal: Signal) -> Option<Target> {
        let protocol = self.protocol(signal);
        let uri = self.endpoint(signal, protocol);
        let headers = self.headers(signal);
        let is_packed = self.is_packed(signal);
        let timeout = self.get_for(signal, "TIMEOUT").map(|(name, _)| name);
        let bounds = Duration::from_millis(1)..=TIMEOUT_MAX;
        let timeout = timeout.map_or(TIMEOUT, |name| self.duration(&name, TIMEOUT, bounds));
        let uri = uri?;
        let tls = self.tls(signal, uri.scheme_str() == Some("https"))?;
        Some(Target { uri, protocol: protocol?, headers, timeout, is_packed, tls })
    }

    /// None after a mistake.
    fn protocol(&mut self, signal: Signal) -> Option<OtlpProtocol> {
        let of_signal = self.get(&signal.variable("PROTOCOL"));
        if let (None, Some(option)) = (of_signal, self.options.otlp_protocol) {
            return Some(option);
        }
        let Some((name, value)) = self.get_for(signal, "PROTOCOL") else {
            return Some(OtlpProtocol::Http);
        };
        match value.as_str() {
            "grpc" => Some(OtlpProtocol::Grpc),
            "http/protobuf" => Some(OtlpProtocol::Http),
            _ => {
                self.wrong(&name, "expected `grpc` or `http/protobuf`");
                None
            }
        }
    }

    /// None after a mistake.
    fn endpoint(&mut self, signal: Signal, protocol: Option<OtlpProtocol>) -> Option<Uri> {
        let of_signal = signal.variable("ENDPOINT");
        let (name, text, is_whole) = match (self.get(&of_signal), &self.options.otlp) {
            (Some(text), _) => (of_signal, text, true),
            (None, Some(text)) => ("--otlp".to_owned(), text.clone(), false),
            (None, None) => {
                let (name, text) = self.get_for(signal, "ENDPOINT")?;
                (name, text, false)
            }
        };
        // The path of a service's method is not for a person to say.
        let is_whole = is_whole || protocol == Some(OtlpProtocol::Grpc);
        let uri = endpoint(&text, if is_whole { "" } else { signal.path() });
        uri.map_err(|expected| self.wrong(&name, expected)).ok()
    }

    /// `key=value,key=value`, values percent-encoded.
    fn headers(&mut self, signal: Signal) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let Some((name, text)) = self.get_for(signal, "HEADERS") else { return headers };
        for (place, pair) in text.split(',').enumerate().filter(|(_, it)| !it.trim().is_empty()) {
            match header(pair) {
                Some((key, value)) => drop(headers.append(key, value)),
                None => self.wrong(
                    &name,
                    format_args!(
                        "its entry {} is none: expected `name=value`, the value percent-encoded",
                        place + 1
                    ),
                ),
            }
        }
        headers
    }

    fn is_packed(&mut self, signal: Signal) -> bool {
        match self.get_for(signal, "COMPRESSION") {
            None => false,
            Some((_, value)) if value == "none" => false,
            Some((_, value)) if value == "gzip" => true,
            Some((name, _)) => {
                self.wrong(&name, "expected `gzip` or `none`");
                false
            }
        }
    }

    /// None after a mistake; none within where there is no TLS.
    fn tls(&mut self, signal: Signal, is_secure: bool) -> Option<Option<ClientConfig>> {
        if !is_secure {
            return Some(None);
        }
        let file = |what| self.get_for(signal, what).map(|(_, path)| PathBuf::from(path));
        let files = ClientFiles {
            authorities: file("CERTIFICATE"),
            certificate: file("CLIENT_CERTIFICATE"),
            key: file("CLIENT_KEY"),
        };
        let name = match files.certificate.is_some() || files.key.is_some() {
            true => "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE, …_CLIENT_KEY",
            false => "OTEL_EXPORTER_OTLP_CERTIFICATE",
        };
        match files.client() {
            Ok(config) => Some(Some(config)),
            Err(problems) => {
                problems.iter().for_each(|problem| self.wrong(name, problem));
                None
            }
        }
    }

    /// Milliseconds.
    fn duration(
        &mut self,
        name: &str,
        default: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(text) = self.get(name) else { return default };
        let found = u64::from_str(&text).ok().map(Duration::from_millis);
        found.filter(|it| bounds.contains(it)).unwrap_or_else(|| {
            let (least, most) = (bounds.start().as_millis(), bounds.end().as_millis());
            self.wrong(name, format_args!("expected milliseconds, {least} to {most}"));
            default
        })
    }

    fn queued(&mut self) -> usize {
        let name = "OTEL_BSP_MAX_QUEUE_SIZE";
        let Some(text) = self.get(name) else { return SPANS_QUEUED };
        let found = usize::from_str(&text).ok();
        found.filter(|it| (1..=SPANS_QUEUED_MAX).contains(it)).unwrap_or_else(|| {
            self.wrong(name, format_args!("expected a number, 1 to {SPANS_QUEUED_MAX}"));
            SPANS_QUEUED
        })
    }

    /// The SDK reads it; this tells what it would pass over.
    fn check_sampler(&mut self) {
        let Some(sampler) = self.get("OTEL_TRACES_SAMPLER") else { return };
        let known = SAMPLERS.iter().find(|(name, _)| *name == sampler);
        let Some((_, has_argument)) = known else {
            let names = SAMPLERS.map(|(name, _)| name).join(", ");
            return self.wrong("OTEL_TRACES_SAMPLER", format_args!("expected one of {names}"));
        };
        let ratio = self.get("OTEL_TRACES_SAMPLER_ARG").and_then(|it| f64::from_str(&it).ok());
        if *has_argument && !ratio.is_some_and(|it| (0.0..=1.0).contains(&it)) {
            self.wrong("OTEL_TRACES_SAMPLER_ARG", "expected a share from 0 to 1");
        }
    }
}

fn endpoint(text: &str, path: &str) -> Result<Uri, &'static str> {
    let expected = "expected a URL, as `http://localhost:4318`";
    let uri: Uri = text.parse().map_err(|_| expected)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(expected);
    }
    if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err("expected a URL without a user: headers are for that \
                    (OTEL_EXPORTER_OTLP_HEADERS)");
    }
    let base = text.trim_end_matches('/');
    let whole = if path.is_empty() { text.to_owned() } else { format!("{base}{path}") };
    whole.parse().map_err(|_| expected)
}

fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let value: Vec<u8> = percent_decode_str(value.trim()).collect();
    let mut value = HeaderValue::from_bytes(&value).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::from_str(name.trim()).ok()?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(option: Option<&str>, variables: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let options = Otlp { otlp: option.map(str::to_owned), otlp_protocol: None };
        let find = |name: &str| variables.iter().find(|(it, _)| *it == name);
        Settings::read_from(&options, &|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    fn uris(settings: &Settings) -> [Option<String>; 2] {
        let Settings { traces, metrics, .. } = settings;
        [traces, metrics].map(|it| it.as_ref().map(|it| it.uri.to_string()))
    }

    #[test]
    fn without_an_endpoint_nothing_is_sent_whatever_else_is_set() {
        let others = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10 s"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ];
        assert_eq!(uris(&read(None, &others).unwrap()), [None, None]);
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        assert_eq!(uris(&read(Some("off"), &[endpoint]).unwrap()), [None, None]);
        let disabled = [endpoint, ("OTEL_SDK_DISABLED", "true")];
        assert_eq!(uris(&read(None, &disabled).unwrap()), [None, None]);
    }

    #[test]
    fn paths_are_added_to_the_endpoint_of_both_signals_only() {
        let [traces, metrics] = uris(&read(Some("http://c:4318/base/"), &[]).unwrap());
        assert_eq!(traces.unwrap(), "http://c:4318/base/v1/traces");
        assert_eq!(metrics.unwrap(), "http://c:4318/base/v1/metrics");
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:1/x"),
        ];
        let [traces, metrics] = uris(&read(None, &variables).unwrap());
        assert_eq!(traces.unwrap(), "http://t:1/x");
        assert_eq!(metrics.unwrap(), "http://c:4318/v1/metrics");
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        let [traces, _] = uris(&read(Some("http://c:4317"), &[grpc]).unwrap());
        assert_eq!(traces.unwrap(), "http://c:4317/");
    }

    #[test]
    fn a_signal_may_be_left_to_others_and_has_variables_of_its_own() {
        let variables = [
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "authorization=Bearer%20x,b = 2"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "500"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
        ];
        let settings = read(Some("http://c:4317"), &variables).unwrap();
        assert!(settings.traces.is_none());
        let target = settings.metrics.unwrap();
        assert_eq!(target.headers.get("authorization").unwrap().as_bytes(), b"Bearer x");
        assert_eq!(target.headers.get("b").unwrap().as_bytes(), b"2");
        assert_eq!(target.headers.len(), 2);
        assert_eq!((target.timeout, target.is_packed), (Duration::from_millis(500), true));
        assert_eq!(target.protocol, OtlpProtocol::Grpc);
    }

    #[test]
    fn all_mistakes_are_told_at_once_and_no_value_of_a_header() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=1,secret"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "7"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
        ];
        let mistakes = read(Some("http://c:4318"), &variables).unwrap_err();
        let text = mistakes.join("\n");
        for (name, _) in variables.iter().filter(|(name, _)| *name != "OTEL_TRACES_SAMPLER") {
            assert!(text.contains(name), "{name} in:\n{text}");
        }
        assert!(!text.contains("secret"), "{text}");
        for endpoint in ["c:4318", "localhost", "ftp://c", "http://", "http://me:secret@c:1"] {
            let mistakes = read(Some(endpoint), &[]).unwrap_err();
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes.iter().all(|it| it.starts_with("--otlp: ") && !it.contains("secret")));
        }
    }
}
