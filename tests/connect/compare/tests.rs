//! Goal: the comparer tells every difference, and no other.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

fn places(expected: &Value, actual: &Value, unordered: &[&str]) -> Vec<String> {
    let unordered: Vec<String> = unordered.iter().map(|it| (*it).to_owned()).collect();
    compare_bodies(expected, actual, &unordered).into_iter().map(|it| it.place).collect()
}

fn answer(status: u16, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Answer::new(status, headers.collect(), body.to_string().as_bytes())
}

fn call(fields: Value) -> Call {
    let mut call = json!({"method": "GET", "path": "/"});
    let own = fields.as_object().expect("fields are an object").clone();
    call.as_object_mut().expect("a call is an object").extend(own);
    serde_json::from_value(call).expect("a sound call")
}

#[test]
fn equal_bodies_have_no_difference_whatever_the_order_of_fields() {
    let expected = json!({"a": 1, "b": [1, {"c": null}]});
    assert!(places(&expected, &json!({"b": [1, {"c": null}], "a": 1}), &[]).is_empty());
}

#[test]
fn every_difference_is_told_by_its_place() {
    let expected = json!({"a": 1, "b": [1, 2], "c": {"d": null}, "x/y": "u"});
    let actual = json!({"a": "1", "b": [1, 3, 4], "c": {}, "x/y": "v", "new": true});
    let told = places(&expected, &actual, &[]);
    assert_eq!(told, ["body /a", "body /b/1", "body /b/2", "body /c/d", "body /x~1y", "body /new"]);
}

#[test]
fn an_absent_field_is_not_null() {
    assert_eq!(places(&json!({"a": null}), &json!({}), &[]), ["body /a"]);
    assert_eq!(places(&json!({}), &json!({"a": null}), &[]), ["body /a"]);
}

#[test]
fn order_counts_unless_the_case_says_otherwise() {
    let (expected, actual) = (json!({"a": [{"b": [1, 2]}]}), json!({"a": [{"b": [2, 1]}]}));
    assert_eq!(places(&expected, &actual, &[]), ["body /a/0/b/0", "body /a/0/b/1"]);
    assert_eq!(places(&expected, &actual, &["/a"]), ["body /a/0", "body /a/0"], "the outer alone");
    assert!(places(&expected, &actual, &["/a/*/b"]).is_empty());
    assert!(places(&json!([1, 2, 2]), &json!([2, 1, 2]), &[""]).is_empty());
}

#[test]
fn a_list_without_order_still_holds_each_element_as_often() {
    assert_eq!(places(&json!([1, 2, 2]), &json!([2, 1, 1]), &[""]), ["body /2", "body /2"]);
    assert_eq!(places(&json!([1]), &json!([1, 1]), &[""]), ["body /1"]);
}

#[test]
fn in_a_list_without_order_what_has_one_name_is_compared_within() {
    let expected = json!([{"name": "a", "v": 1}, {"name": "b", "v": 1}]);
    let actual = json!([{"name": "b", "v": 2}, {"name": "a", "v": 1}]);
    assert_eq!(places(&expected, &actual, &[""]), ["body /1/v"]);
}

#[test]
fn status_headers_and_text_are_compared() {
    let json = ("content-type", "application/json");
    let expected = answer(200, &[json, ("location", "/a")], &json!({}));
    let mut actual = answer(201, &[("content-type", "text/plain"), ("location", "/b")], &json!({}));
    actual.body = None;
    actual.text = Some("no".to_owned());
    let findings = compare(&call(json!({})), &expected, &actual);
    let told: Vec<&str> = findings.iter().map(|it| it.place.as_str()).collect();
    assert_eq!(told, ["status", "header content-type", "header location", "body"]);
}

#[test]
fn methods_are_allowed_in_any_order_and_an_error_may_have_its_type() {
    let expected = answer(405, &[("allow", "GET,HEAD")], &json!({}));
    let json = ("content-type", "application/json");
    let fine = answer(405, &[json, ("allow", "HEAD, GET")], &json!({}));
    assert_eq!(compare(&call(json!({})), &expected, &fine), []);
    let wrong = answer(405, &[json, ("allow", "HEAD")], &json!({}));
    assert_eq!(compare(&call(json!({})), &expected, &wrong).len(), 1);
    assert_eq!(compare(&call(json!({})), &fine, &expected).len(), 1, "a type that was there stays");
}

#[test]
fn where_the_worker_stumbled_a_refusal_is_right_too() {
    let stumbled = answer(500, &[], &json!({"error_code": 500, "message": "oh"}));
    let refusal = answer(400, &[], &json!({"error_code": 400, "message": "no name"}));
    let bare = answer(400, &[], &json!({"error": "no name"}));
    let may = call(json!({"or_refusal": true}));
    assert_eq!(compare(&may, &stumbled, &stumbled), []);
    assert_eq!(compare(&may, &stumbled, &refusal), []);
    assert!(!compare(&may, &stumbled, &bare).is_empty());
    assert!(!compare(&call(json!({})), &stumbled, &refusal).is_empty());
}

#[test]
fn only_what_a_case_is_about_is_looked_at() {
    let expected = answer(200, &[], &json!({"a": 1}));
    let actual = answer(200, &[], &json!({"a": 1, "b": 2}));
    assert_eq!(compare(&call(json!({"only": ["a"]})), &expected, &actual), []);
    assert_eq!(compare(&call(json!({})), &expected, &actual).len(), 1);

    let config = |name: &str, errors: Value| json!({"value": {"name": name, "errors": errors}});
    let expected = answer(200, &[], &json!({"configs": [config("b", json!(["bad"]))]}));
    let actual = json!({"configs": [config("a", json!([])), config("b", json!(["bad"]))]});
    let may = call(json!({"only_errors": true}));
    assert_eq!(compare(&may, &expected, &answer(200, &[], &actual)), []);
    let worse = json!({"configs": [config("a", json!(["bad"])), config("b", json!(["bad"]))]});
    assert!(!compare(&may, &expected, &answer(200, &[], &worse)).is_empty());
}

#[test]
fn a_finding_is_told_with_both_values() {
    let finding = compare_bodies(&json!({"a": 1}), &json!({"a": "x".repeat(1000)}), &[]);
    let told = finding[0].to_string();
    assert!(told.starts_with("  body /a\n    - 1\n    + \"xxx"), "{told}");
    assert!(told.ends_with("… (1002 characters)"), "{told}");
    let absent = Finding::new("body /b", Some(json!(null)), None);
    assert_eq!(absent.to_string(), "  body /b\n    - null\n    + (absent)");
}

#[test]
fn a_body_is_json_only_as_an_object_or_a_list() {
    let text = |body: &str| Answer::new(200, BTreeMap::new(), body.as_bytes());
    assert_eq!(text("").body.or(text("").text.map(Value::from)), None);
    assert_eq!(text("null").text.as_deref(), Some("null"));
    assert_eq!(text("\"a\"").text.as_deref(), Some("\"a\""));
    assert_eq!(text("[]").body, Some(json!([])));
}
