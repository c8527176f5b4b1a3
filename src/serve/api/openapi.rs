//! The OpenAPI document, made of the table that requests are looked up in.

use super::answer::Problem;
use super::operation::{Content, Manners, Operation, Parameter, Reply, shape};
use serde_json::{Map, Value as Json, json};

/// The document of `operations`, as text.
pub(super) fn document(operations: &[Operation]) -> String {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    note(&shape::<Problem>("Problem"), &mut schemas);
    for operation in operations {
        operation.answers.iter().for_each(|reply| note(&reply.content, &mut schemas));
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_lowercase()] = described(operation);
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Headwater",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Pipelines that stream gRPC server streams into Kafka, exactly once.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "bearer": [] }, { "certificate": [] }, {}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "certificate": { "type": "mutualTLS" },
            },
        },
    });
    format!("{document:#}\n")
}

fn note(content: &Content, schemas: &mut Map<String, Json>) {
    if let Content::Json(name, schema) = content {
        let mut schema = schema.clone().to_value();
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("title");
        }
        schemas.insert((*name).to_owned(), schema);
    }
}

fn described(operation: &Operation) -> Json {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": responses(operation),
    });
    let parameters = parameters(operation);
    if !parameters.is_empty() {
        described["parameters"] = Json::Array(parameters);
    }
    if let Some(body) = operation.body {
        let text = json!({ "schema": { "type": "string" } });
        let object = json!({ "schema": { "type": "object" } });
        let content = match operation.manners {
            Manners::Own => json!({ "application/yaml": text, "application/json": object }),
            Manners::Connect => json!({ "application/json": object }),
        };
        described["requestBody"] =
            json!({ "required": true, "description": body, "content": content });
    }
    described
}

fn responses(operation: &Operation) -> Json {
    let mut responses = Map::new();
    for Reply { status, summary, content } in &operation.answers {
        let content = match content {
            Content::Nothing => json!({}),
            Content::Json(name, _) => json!({ "application/json": { "schema": link(name) } }),
            Content::Other(kind) => json!({ *kind: {} }),
        };
        let response = json!({ "description": summary, "content": content });
        responses.insert(status.as_u16().to_string(), response);
    }
    let problem = json!({ "application/json": { "schema": link("Problem") } });
    let default = json!({ "description": "It was not done.", "content": problem });
    responses.insert("default".to_owned(), default);
    Json::Object(responses)
}

fn link(name: &str) -> Json {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn parameters(operation: &Operation) -> Vec<Json> {
    let in_path = operation.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
        )
    });
    let in_query = operation.query.iter().map(|Parameter { name, summary, values }| {
        let mut schema = json!({ "type": "string" });
        if !values.is_empty() {
            schema["enum"] = json!(values);
        }
        json!({ "name": name, "in": "query", "description": summary, "schema": schema })
    });
    in_path.chain(in_query).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::api::operation::find;
    use crate::serve::api::operations;
    use axum::http::Method;
    use std::collections::BTreeSet;

    fn read() -> Json {
        serde_json::from_str(&document(&operations())).unwrap()
    }

    /// Both ways: what is described is found, and what can be found is described.
    #[test]
    fn the_document_and_the_table_say_the_same() {
        let (document, operations) = (read(), operations());
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                let uri = path.replace("{name}", "some-name").parse().unwrap();
                let asked: Method = method.to_uppercase().parse().unwrap();
                let (found, _) = find(&operations, &asked, &uri).ok().unwrap();
                assert_eq!((found.path, &found.method), (path.as_str(), &asked));
                described.insert((path.clone(), asked.to_string()));
            }
        }
        let table = operations.iter().map(|it| (it.path.to_owned(), it.method.to_string()));
        assert_eq!(described, table.collect());
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_a_good_answer_and_an_error() {
        let operations = operations();
        let ids: BTreeSet<&str> = operations.iter().map(|it| it.id).collect();
        assert_eq!(ids.len(), operations.len());
        let document = read();
        for operation in &operations {
            let method = operation.method.as_str().to_lowercase();
            let described = &document["paths"][operation.path][method];
            let responses = described["responses"].as_object().unwrap();
            assert!(responses.keys().any(|it| it.starts_with('2')), "{}", operation.id);
            assert!(responses.contains_key("default"));
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn links(json: &Json, found: &mut Vec<String>) {
            match json {
                Json::Object(map) => map.iter().for_each(|(key, value)| match value.as_str() {
                    Some(link) if key == "$ref" => found.push(link.to_owned()),
                    _ => links(value, found),
                }),
                Json::Array(list) => list.iter().for_each(|it| links(it, found)),
                _ => {}
            }
        }
        let document = read();
        let mut found = Vec::new();
        links(&document, &mut found);
        assert!(!found.is_empty());
        for link in found {
            let pointer = link.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{link}");
        }
    }
}
