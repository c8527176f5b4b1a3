//! Goal: what came out of a variable or a file is never shown.
//! Method: files that fail at every step with a secret in the failing value; the rendering, the
//! debug output of everything the loader gives, and the plan's are searched for it.

use headwater_engine::spec::Diagnostics;

use crate::kinds::{self, SECRET};

const HEAD: &str = "pipeline: p\nsources:\n  events: { kind: grpc, endpoint: http://a }\n\
                    decoders:\n  json: { kind: protobuf, from: events, to: json }\nsinks:\n";

fn sink(rest: &str) -> String {
    format!("{HEAD}  out:\n    kind: kafka\n    from: json\n{rest}")
}

#[test]
fn no_rendering_shows_a_resolved_value() {
    let files = [
        sink("    topic: ${env:SPACED}\n"),
        sink("    topic: ${file:/run/secrets/token:hunter-and-more}\n"),
        sink("    topic: t\n    key: ${env:SECRET}\n"),
        sink("    topic: ['${env:SECRET}']\n"),
        sink("    topic: t\n    key: { field: [\"${env:SECRET}\"] }\n"),
        sink("    topic: t\n    properties:\n      transactional.id: ${env:SECRET}\n"),
        sink("    topic: t\n    properties:\n      transactional.id: ${file:/run/secrets/token}\n"),
        sink(
            "    topic: t\n    properties:\n      \
             transactional.id: a${file:kafka.properties:password}b\n",
        ),
        HEAD.replace("http://a", "\"${env:SECRET}\"") + "  out: { kind: discard, from: json }\n",
        HEAD.replace("kind: grpc", "kind: \"${env:SECRET}\"") + "  out: { kind: discard }\n",
        HEAD.replace("from: events", "from: \"${env:SECRET}\"") + "  out: { kind: discard }\n",
        HEAD.replace("pipeline: p", "pipeline: ${env:SPACED}") + "  out: { kind: discard }\n",
        HEAD.replace("to: json", "to: \"${env:SECRET}\"") + "  out: { kind: discard }\n",
        format!("workers: ${{env:SECRET}}\n{HEAD}  out: {{ kind: discard, from: json }}\n"),
    ];
    for file in files {
        let diagnostics = kinds::read(&file).expect_err(&file);
        for text in [
            diagnostics.render(false),
            diagnostics.render(true),
            format!("{diagnostics:?}"),
            format!("{diagnostics}"),
        ] {
            assert!(!text.contains("hunter2"), "{text}");
            assert!(text.contains("${"), "the file's own text stands for it: {text}");
        }
    }
}

#[test]
fn a_plan_with_secrets_does_not_print_them() {
    let file = sink("    topic: t\n    properties:\n      sasl.password: ${env:SECRET}\n");
    let (plan, warnings) = kinds::read(&file).expect("a sound file");
    let config: &kinds::TopicConfig = plan.node("out").expect("the sink").config();
    let password = kinds::Property::Text(SECRET.to_owned());
    assert_eq!(config.properties["sasl.password"], password, "the config itself holds it");
    let warnings = Diagnostics::new(&kinds::source(&file), warnings);
    let printed = format!("{plan:?} {warnings:?} {warnings}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

/// Every word of every golden case in turn is a secret.
#[test]
fn a_secret_in_any_place_of_any_case_is_not_shown() {
    let mut tried = 0;
    for case in crate::golden::cases() {
        let text = std::fs::read_to_string(case).expect("a case is readable");
        for (start, end) in words(&text) {
            let file = format!("{}\"${{env:SECRET}}\"{}", &text[..start], &text[end..]);
            let printed = match kinds::read(&file) {
                // A pipeline's name and a message's type are public, wherever they come from.
                Ok((_, warnings)) => format!("{warnings:?}"),
                Err(diagnostics) => format!("{diagnostics} {diagnostics:?}"),
            };
            assert!(!printed.contains("hunter2"), "{file}\n{printed}");
            tried += 1;
        }
    }
    assert!(tried > 1000, "{tried}");
}

/// The byte ranges of the runs of letters and digits.
fn words(text: &str) -> Vec<(usize, usize)> {
    let mut words: Vec<(usize, usize)> = Vec::new();
    for (at, letter) in text.char_indices().filter(|(_, letter)| letter.is_alphanumeric()) {
        match words.last_mut() {
            Some((_, end)) if *end == at => *end = at + letter.len_utf8(),
            _ => words.push((at, at + letter.len_utf8())),
        }
    }
    words
}
