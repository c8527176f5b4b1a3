//! `/connector-plugins`: what can be used, the keys of each, and validations.

use super::body::{object, texts};
use super::flag;
use crate::connect::{connector_class, definitions, plugins};
use crate::serve::api::answer::{Problem, json};
use crate::serve::api::operation::{Call, Content, Operation, Outcome, Parameter, handler};
use crate::serve::connector::config;
use axum::http::{Method, StatusCode};
use serde_json::Value as Json;

const CONNECTORS_ONLY: Parameter = Parameter {
    name: "connectorsOnly",
    summary: "Whether only connectors are told; `true` if left out.",
    values: &[],
};
const VERSION: Parameter =
    Parameter { name: "version", summary: "The version that is meant.", values: &[] };

/// Aliases of plug-ins of kinds that have no keys to show, where a real worker says so.
const WITHOUT_KEYS: [&str; 3] = ["All", "None", "Principal"];

pub(super) fn operations() -> Vec<Operation> {
    let own = || Content::Other("application/json");
    let told = ("listConnectorPlugins", "Lists the classes that can be used.");
    let list = Operation::new(Method::GET, "/connector-plugins", told, handler(list))
        .asks(&[CONNECTORS_ONLY])
        .answers("The classes, with kind and version.", own());
    let told = ("getConnectorPluginConfig", "The keys of a class.");
    let path = "/connector-plugins/{class}/config";
    let keys = Operation::new(Method::GET, path, told, handler(keys))
        .asks(&[VERSION])
        .answers("The keys.", own());
    let told = ("validateConnectorConfig", "Checks a configuration, and answers for every key.");
    let path = "/connector-plugins/{class}/config/validate";
    let validate = Operation::new(Method::PUT, path, told, handler(validation))
        .takes("The configuration: an object of texts.")
        .answers("All keys with their values and errors.", own());
    vec![list, keys, validate]
}

async fn list(call: Call) -> Outcome {
    let connectors_only = flag(&call, "connectorsOnly").unwrap_or(true);
    Ok(json(StatusCode::OK, &plugins(call.api.connectors.worker(), connectors_only)))
}

async fn keys(call: Call) -> Outcome {
    let (class, worker) = (&call.parts["class"], call.api.connectors.worker());
    let Some(keys) = definitions(class, worker) else {
        return Err(match WITHOUT_KEYS.contains(&class.as_str()) {
            true => Problem::bad(format!(
                "Invalid plugin class {class}. Valid types are sink, source, converter, \
                 header_converter, transformation, predicate."
            )),
            false => Problem::new(StatusCode::NOT_FOUND, format!("Unknown plugin {class}.")),
        });
    };
    let there = match connector_class(class) {
        Some(_) => &worker.connector_version,
        None => &worker.connect_version,
    };
    let asked = call.pairs.iter().find(|(key, _)| key == "version").map(|(_, value)| value);
    if let Some(asked) = asked.filter(|asked| *asked != there) {
        return Err(Problem::bad(format!(
            "Plugin {class} not found that matches the version range [{asked},{asked}], available \
             versions: [{there}]"
        )));
    }
    Ok(json(StatusCode::OK, &keys))
}

async fn validation(call: Call) -> Outcome {
    let class = &call.parts["class"];
    let body = texts(object(&call.body)?, "the body")?;
    if let Some(Json::String(included)) = body.get("connector.class")
        && !shortened(included).ends_with(shortened(class))
    {
        return Err(Problem::bad(format!(
            "Included connector type {included} does not match request type {class}"
        )));
    }
    let infos = call.api.connectors.validation(config(&body)).await;
    let infos = infos.map_err(|refused| Problem::bad(refused.to_string()))?;
    Ok(json(StatusCode::OK, &infos))
}

/// A class without `Connector` at its end, as far as something is left.
fn shortened(class: &str) -> &str {
    class.strip_suffix("Connector").filter(|it| !it.is_empty()).unwrap_or(class)
}
