//! Goal: the config topic is what it must be, and holds what was put there, as it was written.
//! Method: topics made in wrong ways before the program starts; records read back with another
//! client.

use anyhow::{Context, Result, ensure};
use headwater_test_support::topic::{Isolation, read_all};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::served::{Site, pipeline, unique};
use crate::world::{PATIENCE, kafka};

fn make_topic(name: &str, partitions: i32, policy: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka()).create()?;
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let topic = topic.set("cleanup.policy", policy);
    let runtime = tokio::runtime::Runtime::new()?;
    let made = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()))?;
    for made in made {
        made.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
    }
    Ok(())
}

#[test]
fn a_config_topic_that_would_forget_is_refused() -> Result<()> {
    for (partitions, policy, words) in [
        (1, "delete", "set cleanup.policy=compact"),
        (1, "compact,delete", "set cleanup.policy=compact"),
        (2, "compact", "has 2 partitions, and must have one"),
    ] {
        let mut site = Site::new()?;
        make_topic(&site.topic, partitions, policy)?;
        let mut served = site.start()?;
        let status = served.headwater.wait_exit(PATIENCE)?;
        let log = served.headwater.log()?;
        ensure!(status.code() == Some(65) && log.contains(words), "{status}: {log}");
    }
    Ok(())
}

#[test]
fn a_config_topic_that_somebody_made_well_is_used() -> Result<()> {
    let mut site = Site::new()?;
    make_topic(&site.topic, 1, "compact")?;
    let served = site.lead()?;
    served.demand("GET", "/pipelines", "", 200)?;
    Ok(())
}

/// What a reference stands for is neither in the topic nor in an answer.
#[test]
fn documents_are_kept_as_they_were_written() -> Result<()> {
    const SECRET: &str = "s3cr3t-value-of-the-environment";
    let mut site = Site::new()?;
    site.launch = site.launch.environment("ORDERS_TOKEN", SECRET);
    let served = site.lead()?;
    let name = unique("secret");
    let mut file = pipeline(&name, "http://127.0.0.1:1");
    file.source_extra
        .push("metadata: { authorization: \"Bearer ${env:ORDERS_TOKEN}\" }".to_owned());
    let document = file.yaml();
    served.demand("POST", "/pipelines?initial_state=stopped", &document, 201)?;
    let shown = served.demand("GET", &format!("/pipelines/{name}"), "", 200)?;
    ensure!(shown["document"] == document.as_str(), "{shown}");

    let records = read_all(kafka(), &site.topic, Isolation::Uncommitted)?;
    let key = format!("pipeline-{name}");
    let record = records.iter().rfind(|it| it.key.as_deref() == Some(key.as_bytes()));
    let value = record.and_then(|it| it.value.clone()).context("it is in the topic")?;
    let value = String::from_utf8(value)?;
    ensure!(value.contains("${env:ORDERS_TOKEN}") && !value.contains(SECRET), "{value}");
    let target = format!("target-state-{name}");
    ensure!(records.iter().any(|it| it.key.as_deref() == Some(target.as_bytes())));
    ensure!(!served.headwater.log()?.contains(SECRET));
    Ok(())
}

/// The same document again disturbs nobody.
#[test]
fn what_does_not_change_anything_writes_nothing() -> Result<()> {
    let mut site = Site::new()?;
    let served = site.lead()?;
    let name = unique("same");
    let file = pipeline(&name, "http://127.0.0.1:1");
    served.demand("POST", "/pipelines?initial_state=paused", &file.yaml(), 201)?;
    let before = served.status(&name)?["revision"].clone();
    ensure!(served.put(&file)?.status == 200);
    served.demand("PUT", &format!("/pipelines/{name}/pause"), "", 202)?;
    ensure!(served.status(&name)?["revision"] == before);
    Ok(())
}

#[test]
fn all_mistakes_of_a_document_come_at_once_and_nothing_is_kept() -> Result<()> {
    let mut site = Site::new()?;
    let served = site.lead()?;
    let name = unique("wrong");
    let text = pipeline(&name, "http://127.0.0.1:1").yaml();
    let text = text.replace("to: json", "to: yson").replace("endpoint:", "endpiont:");
    for (method, path) in [("POST", "/pipelines"), ("POST", "/pipelines/validate")] {
        let problem = served.demand(method, path, &text, 400)?;
        let mistakes = problem["mistakes"].as_array().context("mistakes")?;
        ensure!(mistakes.len() >= 2, "{problem}");
        for mistake in mistakes {
            ensure!(mistake["line"].is_u64() && mistake["column"].is_u64(), "{mistake}");
        }
        ensure!(problem["error_code"] == 400, "{problem}");
    }
    let other =
        served.demand("PUT", "/pipelines/other-name", &text.replace("yson", "json"), 400)?;
    ensure!(other["message"].is_string());
    served.demand("GET", &format!("/pipelines/{name}"), "", 404)?;
    Ok(())
}
