//! References to values that are kept elsewhere: Kafka Connect's, and what they are here.
//!
//! | Kafka Connect | here |
//! |---|---|
//! | `${file:/path/secrets.properties:key}` | the same |
//! | `${env:NAME}` | the same |
//! | `${dir:/path:file}` | `${file:/path/file}` |
//!
//! What looks like a reference and is none, such as `${topic}`, is a text to Connect; here its
//! beginning is escaped.

use super::config::Config;
use super::mistake::Mistake;

/// Whether there is any reference in a value.
pub(super) fn has_any(text: &str) -> bool {
    pieces(text).iter().any(|piece| matches!(piece, Piece::Reference { .. }))
}

/// A reference, as Kafka Connect cuts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference<'t> {
    /// The provider's name.
    pub provider: &'t str,
    /// Where it looks; empty if only a key is given.
    pub path: &'t str,
    /// What it looks for there.
    pub key: &'t str,
}

enum Piece<'t> {
    Text(&'t str),
    Reference { reference: Reference<'t>, written: &'t str },
}

/// The configuration with the values that `look_up` gives for its references, for a validation. A
/// reference without a value stays as it is written, as on a worker.
///
/// # Errors
/// That of the first look-up that fails.
pub fn resolved<E>(
    config: &Config,
    look_up: &mut dyn FnMut(Reference<'_>) -> Result<Option<String>, E>,
) -> Result<Config, E> {
    let mut resolved = config.clone();
    for (key, text) in config.iter().filter(|(_, text)| has_any(text)) {
        let mut value = String::new();
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => value.push_str(text),
                Piece::Reference { reference, written } => {
                    value.push_str(look_up(reference)?.as_deref().unwrap_or(written));
                }
            }
        }
        resolved.set(key, Some(value));
    }
    Ok(resolved)
}

/// The value with its references as they are written here. The mistake has no key yet.
pub(super) fn converted(text: &str) -> Result<String, Mistake> {
    let mut out = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => out.push_str(&text.replace("${", "$${")),
            // `$${` would be the escape, and there is none for the escape's own sign.
            Piece::Reference { .. } if out.ends_with('$') => {
                let told = Mistake::of("", "a `$` stands before a reference");
                return Err(told.hint("put the `$` into the file or the variable, too"));
            }
            Piece::Reference { reference, .. } => out.push_str(&here(reference)?),
        }
    }
    Ok(out)
}

/// As it is written here.
fn here(Reference { provider, path, key }: Reference<'_>) -> Result<String, Mistake> {
    let plain = |text: &str| !text.contains([':', '{', '}']);
    match provider {
        "env" if path.is_empty() && plain(key) => Ok(format!("${{env:{key}}}")),
        "file" if !path.is_empty() && plain(path) && plain(key) => {
            Ok(format!("${{file:{path}:{key}}}"))
        }
        "dir" | "directory" if !path.is_empty() && plain(path) && plain(key) => {
            Ok(format!("${{file:{}/{key}}}", path.trim_end_matches('/')))
        }
        "env" | "file" | "dir" | "directory" => {
            let told =
                Mistake::of("", format!("a reference to the provider {provider} is not whole"));
            Err(told.hint("expected ${env:NAME}, ${file:/path:key} or ${dir:/path:file}"))
        }
        other => {
            let told = Mistake::of("", format!("values of the provider {other:?} are not known"));
            Err(told.hint(
                "let it write a file or a variable: ${file:/path:key}, ${dir:/path:file} or \
                 ${env:NAME}",
            ))
        }
    }
}

/// Cut as Kafka cuts it: `${provider:key}` or `${provider:path:key}`, where the path ends at the
/// first colon.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut plain = 0;
    while let Some(at) = rest[plain..].find("${").map(|at| at + plain) {
        let inner = &rest[at + 2..];
        let Some(end) = inner.find('}') else { break };
        let Some((provider, value)) = inner[..end].split_once(':') else {
            plain = at + 2;
            continue;
        };
        let (path, key) = value.split_once(':').unwrap_or(("", value));
        pieces.push(Piece::Text(&rest[..at]));
        let written = &rest[at..at + 3 + end];
        pieces.push(Piece::Reference { reference: Reference { provider, path, key }, written });
        rest = &inner[end + 1..];
        plain = 0;
    }
    pieces.push(Piece::Text(rest));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_keep_their_meaning() {
        for (theirs, ours) in [
            (
                "Bearer ${file:/a/b.properties:api.token}",
                "Bearer ${file:/a/b.properties:api.token}",
            ),
            ("${env:TOKEN}", "${env:TOKEN}"),
            ("${dir:/run/secrets:token}x", "${file:/run/secrets/token}x"),
            ("${topic}-${timestamp}", "$${topic}-$${timestamp}"),
            ("a${", "a$${"),
            ("a$${topic}", "a$$${topic}"),
            ("none", "none"),
        ] {
            assert_eq!(converted(theirs).unwrap(), ours);
        }
    }

    #[test]
    fn references_without_a_value_stay_as_they_are() {
        let config: Config =
            [("a", "x${file:/f:k}y${none:z}"), ("b", "${topic}")].into_iter().collect();
        let mut look_up = |it: Reference<'_>| Ok::<_, ()>((it.key == "k").then(|| "v".to_owned()));
        let resolved = resolved(&config, &mut look_up).unwrap();
        assert_eq!(resolved.get("a"), Some("xvy${none:z}"));
        assert_eq!(resolved.get("b"), Some("${topic}"));
    }

    #[test]
    fn providers_that_are_not_known_are_refused_by_name() {
        assert!(converted("${vault:a:b}").unwrap_err().message.contains("vault"));
        assert!(converted("${file:}").is_err());
        assert!(converted("${file:/a:b:c}").is_err());
        assert!(converted("a$${env:X}").is_err());
    }
}
