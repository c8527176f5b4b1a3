//! Lists in all their forms; how a node's own check sees them is tested where there is one.

use super::*;

fn items(text: &str, form: ListForm) -> Vec<serde_json::Value> {
    let mut report = Report::new();
    let node = read(text, form, &mut report).expect("a list");
    assert!(!report.has_errors());
    match node.to_json() {
        serde_json::Value::Array(items) => items,
        other => panic!("not a list: {other}"),
    }
}

#[test]
fn the_same_targets_may_be_written_as_lines_as_a_list_and_in_groups() {
    let expected = ["a:1", "b:2"];
    let forms = [
        ("# two\na:1\n\n  b:2  # the second\n", ListForm::Lines),
        ("- a:1\n- b:2\n", ListForm::Yaml),
        ("[\"a:1\", \"b:2\"]", ListForm::Yaml),
        (
            "[{\"targets\": [\"a:1\"], \"labels\": {\"x\": \"y\"}}, {\"targets\": [\"b:2\"]}]",
            ListForm::Yaml,
        ),
        ("- targets: [a:1]\n- b:2\n", ListForm::Yaml),
    ];
    for (text, form) in forms {
        assert_eq!(items(text, form), expected, "{text}");
    }
}

#[test]
fn a_file_without_an_item_is_an_empty_list() {
    for text in ["", " \n\n", "# nothing\n", "[]", "[{targets: []}]"] {
        assert!(items(text, ListForm::Yaml).is_empty(), "{text}");
    }
    assert!(items("# nothing\n\n", ListForm::Lines).is_empty());
}

#[test]
fn what_is_no_list_is_refused_at_its_place() {
    let source = Source { name: "t.yaml", text: "a: 1\n", base_dir: Path::new(".") };
    let mut report = Report::new();
    assert!(read(source.text, ListForm::Yaml, &mut report).is_none());
    let found = Diagnostics::new(&source, report.into_findings()).to_string();
    assert!(found.starts_with("t.yaml:1:1: error: the file is not a list"), "{found}");
}

#[test]
fn a_line_knows_where_it_stands() {
    let text = "a:1\n  b:2\n";
    let spans: Vec<Span> = lines(text).iter().map(|line| line.span).collect();
    assert_eq!((spans[1].line, spans[1].column), (2, 3));
    assert_eq!(&text[spans[1].start..spans[1].end], "b:2");
}
