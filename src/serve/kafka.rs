//! Where the config topic is: brokers and the client's properties, from the command line and a
//! file.
//!
//! The file is what Kafka's own tools take with `--command-config`: a line `key=value` each. Values
//! may refer to `${env:NAME}` and `${file:PATH}`, so that no password stands in it.

use crate::args::Serve;
use crate::exit::{Exit, Failed};
use headwater_engine::spec::{SystemVariables, Variables};
use headwater_operators::sink::kafka::{KafkaTarget, table_target};
use std::collections::BTreeMap;
use std::path::Path;

/// The cluster of the config topic; all that is wrong with how it is given.
pub(super) fn target(options: &Serve) -> Result<KafkaTarget, Failed> {
    let mut properties = BTreeMap::new();
    if let Some(path) = &options.kafka_config {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Exit::Mistake.saying(format!("{}: {error}", path.display())))?;
        let read = read(&text, &SystemVariables);
        let read =
            read.map_err(|why| Exit::Mistake.saying(format!("{}: {why}", path.display())))?;
        properties.extend(read);
    }
    properties.extend(options.property.iter().cloned());
    let target = table_target(&options.brokers, &options.config_topic, &properties);
    target.map_err(|wrong| Exit::Mistake.saying(wrong.join("\n")))
}

/// Reads `key=value` lines.
fn read(text: &str, variables: &dyn Variables) -> Result<Vec<(String, String)>, String> {
    let mut properties = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let place = |why: String| format!("line {}: {why}", number + 1);
        let (key, value) =
            line.split_once('=').ok_or_else(|| place("expected key=value".to_owned()))?;
        let value = resolve(value.trim(), variables).map_err(place)?;
        properties.push((key.trim().to_owned(), value));
    }
    Ok(properties)
}

/// Puts the values of references in their places.
fn resolve(text: &str, variables: &dyn Variables) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inner, behind) = after.split_once('}').ok_or("a `${` has no `}`")?;
        out.push_str(before);
        out.push_str(&value(inner, variables)?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

fn value(inner: &str, variables: &dyn Variables) -> Result<String, String> {
    match inner.split_once(':') {
        Some(("env", name)) => {
            variables.env(name).ok_or_else(|| format!("the variable `{name}` is not set"))
        }
        Some(("file", path)) => {
            let text =
                variables.file(Path::new(path)).map_err(|error| format!("{path}: {error}"))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        _ => Err(format!("`${{{inner}}}` is neither ${{env:NAME}} nor ${{file:PATH}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    struct Table;

    impl Variables for Table {
        fn env(&self, name: &str) -> Option<String> {
            (name == "PASSWORD").then(|| "p=w".to_owned())
        }

        fn file(&self, path: &Path) -> io::Result<String> {
            match path.to_str() {
                Some("/secret") => Ok("hidden\n".to_owned()),
                _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
            }
        }
    }

    #[test]
    fn a_file_of_properties_is_read_line_by_line() {
        let text = "# a comment\nsecurity.protocol = SASL_SSL\n\nsasl.password=${env:PASSWORD}\n\
                    ssl.key.password=a-${file:/secret}-b\n";
        let expected = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.password", "p=w"),
            ("ssl.key.password", "a-hidden-b"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(read(text, &Table).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line() {
        for (text, words) in [
            ("a=b\nnonsense", "line 2: expected key=value"),
            ("a=${env:NONE}", "`NONE` is not set"),
            ("a=${file:/none}", "/none: no such file"),
            ("a=${vault:x}", "neither"),
            ("a=${env:PASSWORD", "has no `}`"),
        ] {
            let why = read(text, &Table).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }
}
