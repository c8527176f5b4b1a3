//! An HTTP proxy between this program and a server: CONNECT, RFC 9110 §9.3.6.
//!
//! Which one it is stands in the pipeline file or in the environment. The environment's is for
//! `https://` endpoints alone, as its name says, and never for this machine; what `NO_PROXY`
//! excepts is read as curl reads it.
//!
//! Invariant: no `Debug` form; a proxy's credentials are in here.
//!
//! Next: `route.rs` connects through it.

use super::http1;
use super::route::{Conduit, authority};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::{Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use percent_encoding::percent_decode_str;
use std::net::IpAddr;
use tower::BoxError;

/// What stands for no proxy in the pipeline file.
const NONE: &str = "none";

/// What stands for the environment's.
const ENVIRONMENT: &str = "environment";

/// A proxy.
#[derive(Clone)]
pub(super) struct Proxy {
    host: String,
    port: u16,
    authorization: Option<HeaderValue>,
}

/// What the environment says of proxies.
pub(super) struct Environment {
    /// The variable that names the proxy, and its value.
    pub(super) https: Option<(&'static str, String)>,
    /// What is reached without it.
    pub(super) except: String,
}

/// A proxy cannot be used. What was written is not repeated: it may hold credentials.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub(super) struct BadProxy {
    /// The variable of the environment it comes from.
    pub(super) variable: Option<&'static str>,
    problem: &'static str,
}

/// A proxy cannot be connected to.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to the proxy {proxy}")]
struct Unreachable {
    proxy: String,
    source: BoxError,
}

/// A proxy did not open the way.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    #[error("the proxy {proxy} wants other credentials (407 Proxy Authentication Required)")]
    Credentials { proxy: String },
    #[error("the proxy {proxy} refuses to connect to {to}: {status}")]
    Refused { proxy: String, to: String, status: StatusCode },
    #[error("the proxy {proxy} does not answer as one")]
    Broken { proxy: String, source: BoxError },
}

impl Environment {
    /// Of this process.
    pub(super) fn of_process() -> Self {
        let first = |names: [&'static str; 2]| {
            let set = names.into_iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
            set.filter(|(_, value)| !value.is_empty())
        };
        let except = first(["NO_PROXY", "no_proxy"]).map(|(_, value)| value).unwrap_or_default();
        Environment { https: first(["HTTPS_PROXY", "https_proxy"]), except }
    }
}

impl Proxy {
    /// The proxy to `uri`, as the pipeline file says it, or the environment.
    ///
    /// # Errors
    /// What names it is no proxy's URL.
    pub(super) fn choose(
        written: Option<&str>,
        uri: &Uri,
        environment: &Environment,
    ) -> Result<Option<Proxy>, BadProxy> {
        match written.unwrap_or(ENVIRONMENT) {
            NONE => Ok(None),
            ENVIRONMENT => Self::of_environment(uri, environment),
            url => {
                Self::parse(url).map(Some).map_err(|problem| BadProxy { variable: None, problem })
            }
        }
    }

    fn of_environment(uri: &Uri, environment: &Environment) -> Result<Option<Proxy>, BadProxy> {
        let Some((variable, url)) = &environment.https else { return Ok(None) };
        let is_https = uri.scheme_str() == Some("https");
        if !is_https || is_this_machine(uri) || is_excepted(uri, &environment.except) {
            return Ok(None);
        }
        // The environment's may stand without a scheme.
        let url = if url.contains("://") { url.clone() } else { format!("http://{url}") };
        let proxy = Self::parse(&url);
        proxy.map(Some).map_err(|problem| BadProxy { variable: Some(variable), problem })
    }

    fn parse(url: &str) -> Result<Proxy, &'static str> {
        let Ok(uri) = url.parse::<Uri>() else { return Err("the proxy is not a URL") };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("the proxy is not a URL");
        };
        if scheme != "http" {
            return Err("the proxy's scheme is not http: no other kind is supported");
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err("the proxy has a path");
        }
        let Some(port) = authority.port_u16() else { return Err("the proxy has no port") };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        let authorization = user.map(basic).transpose()?;
        Ok(Proxy { host, port, authorization })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, for people.
    pub(super) fn shown(&self) -> String {
        authority(&self.host, self.port)
    }

    /// What it means that it cannot be connected to.
    pub(super) fn unreachable(&self, source: BoxError) -> BoxError {
        Unreachable { proxy: self.shown(), source }.into()
    }

    /// Has it open a way to the host and port `to`, on a connection to it.
    ///
    /// # Errors
    /// It refuses, or does not speak HTTP.
    pub(super) async fn tunnel(&self, conduit: Conduit, to: &str) -> Result<Conduit, TunnelError> {
        let mut request = Request::connect(to).header(HOST, to);
        if let Some(authorization) = &self.authorization {
            request = request.header(PROXY_AUTHORIZATION, authorization);
        }
        let broken = |source| TunnelError::Broken { proxy: self.shown(), source };
        let request = request.body(()).map_err(|error| broken(error.into()))?;
        match http1::upgrade(conduit, request).await.map_err(broken)? {
            Ok(conduit) => Ok(conduit),
            Err(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
                Err(TunnelError::Credentials { proxy: self.shown() })
            }
            Err(status) => {
                Err(TunnelError::Refused { proxy: self.shown(), to: to.to_owned(), status })
            }
        }
    }
}

/// What stands before the `@` of a URL, as a header.
fn basic(user: &str) -> Result<HeaderValue, &'static str> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [decoded(name), decoded(password)].join(&b':');
    let value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair)));
    let mut value = value.map_err(|_| "the proxy's credentials cannot be sent")?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_this_machine(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_excepted(uri: &Uri, except: &str) -> bool {
    // Only whether it is excepted is asked; any proxy will do.
    let matcher = Matcher::builder().all("http://proxy:1").no(except).build();
    matcher.intercept(uri).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(https: &str, except: &str) -> Environment {
        let https = (!https.is_empty()).then(|| ("HTTPS_PROXY", https.to_owned()));
        Environment { https, except: except.to_owned() }
    }

    fn chosen(written: Option<&str>, uri: &str, environment: &Environment) -> Option<String> {
        let uri = uri.parse().expect("a URL");
        let proxy = Proxy::choose(written, &uri, environment);
        proxy.unwrap_or_else(|error| panic!("{error}")).map(|proxy| proxy.shown())
    }

    #[test]
    fn the_file_decides_and_what_it_leaves_open_the_environment_for_https_elsewhere() {
        let environment = environment("proxy.corp:3128", "internal, .lan, 10.0.0.0/8");
        let of = |written, uri| chosen(written, uri, &environment);
        let corp = Some("proxy.corp:3128".to_owned());
        assert_eq!(of(None, "https://feed.example:443"), corp);
        assert_eq!(of(Some("environment"), "https://feed.example"), corp);
        assert_eq!(of(Some("http://p:1"), "http://127.0.0.1:9"), Some("p:1".to_owned()));
        let direct = [
            (Some("none"), "https://feed.example"),
            (None, "http://feed.example"),
            (None, "https://localhost:1"),
            (None, "https://127.0.0.1:1"),
            (None, "https://[::1]:1"),
            (None, "https://a.internal"),
            (None, "https://feed.lan:8443"),
            (None, "https://10.1.2.3"),
        ];
        for (written, uri) in direct {
            assert_eq!(of(written, uri), None, "{written:?} {uri}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_being_repeated() {
        let uri: Uri = "https://feed.example".parse().expect("a URL");
        let nothing = environment("", "");
        for written in ["socks5://u:secret@p:1", "http://u:secret@p", "p:1", "http://p:1/path", ""]
        {
            let Err(error) = Proxy::choose(Some(written), &uri, &nothing) else {
                panic!("{written:?} was taken");
            };
            assert!(!error.to_string().contains("secret"), "{error}");
            assert_eq!(error.variable, None);
        }
        let broken = environment("socks5://p:1", "");
        let error = Proxy::choose(None, &uri, &broken).err().expect("no HTTP proxy");
        assert_eq!(error.variable, Some("HTTPS_PROXY"));
    }

    #[test]
    fn credentials_are_decoded_and_marked_as_secret() {
        let proxy = Proxy::parse("http://us%40er:p%3Aw@[::1]:8080").expect("a proxy");
        assert_eq!((proxy.host(), proxy.shown()), ("::1", "[::1]:8080".to_owned()));
        let header = proxy.authorization.expect("credentials");
        assert!(header.is_sensitive());
        let text = header.to_str().expect("ASCII").strip_prefix("Basic ").expect("basic");
        assert_eq!(BASE64_STANDARD.decode(text).expect("base64"), b"us@er:p:w");
    }
}
