//! Credentials: sent as they are meant, renewed without a restart, refused so often and no more.

use crate::issuer::{Issuer, token};
use crate::server::{Server, Step, events};
use crate::world::{FAST, RESUME, World, broken, source, until};
use headwater_operators::source::ShardEnd;
use headwater_proto::telemetry::SubscribeRequest;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use tonic::Status;

const SECRET: &str = "s3cr3t/Value+42";

/// Ten events from where the request says, for one who shows `authorization`.
fn admit(authorization: &str, request: &SubscribeRequest) -> Vec<Step> {
    let from = request.from_sequence.max(1);
    let mut steps = vec![Step::Admit(authorization.to_owned())];
    steps.extend(events(from, from + 9));
    steps
}

fn then(mut steps: Vec<Step>, last: Step) -> Vec<Step> {
    steps.push(last);
    steps
}

fn file(content: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("secret");
    fs::write(&path, content).expect("writable");
    (folder, path)
}

fn oauth2(issuer: &Issuer, more: &str) -> String {
    format!(
        "auth: {{ oauth2: {{ token_url: \"{}\", client_id: me, client_secret: \"{SECRET}\"{more} }} }}",
        issuer.url()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bearer_file_is_read_anew_and_a_refused_token_is_a_reconnect() {
    let (_folder, path) = file("old\n");
    let server = Server::start(|_, request| then(admit("Bearer new", request), Step::Hang)).await;
    let auth = format!("auth: {{ bearer: {{ file: \"{}\" }} }}", path.display());
    let world = World::run(source(&server.url(), &format!("{FAST}\n    {auth}{RESUME}")), None);
    until("the old token is refused", || server.calls() >= 2).await;
    fs::write(&path, "new\r\n").expect("writable");
    world.committed(10).await;
    let (end, finished) = world.stop().await;
    assert_eq!(end, ShardEnd::Stopped);
    assert_eq!(finished.values(), (1..=10).collect::<Vec<_>>());
    let callers = server.callers();
    let (last, before) = callers.split_last().expect("calls");
    assert_eq!(last, "Bearer new");
    assert!(before.iter().all(|caller| caller == "Bearer old"), "{callers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_in_a_row_are_bounded_and_a_fixed_token_is_refused_once() {
    let (_folder, path) = file("old");
    let server = Server::start(|_, request| admit("Bearer new", request)).await;
    let auth = format!("auth: {{ bearer: {{ file: \"{}\" }} }}", path.display());
    let fast = "reconnect: { backoff_min_ms: 10, backoff_max_ms: 20 }";
    let keys = format!("{fast}\n    {auth}{RESUME}");
    let (end, _) = World::run(source(&server.url(), &keys), None).end().await;
    let reason = broken(&end);
    assert!(reason.contains("the token is not valid any more"), "{reason}");
    assert!(reason.contains("10 times in a row") && reason.contains("`auth`"), "{reason}");
    assert_eq!(server.calls(), 10);

    let fixed = format!("{fast}\n    auth: {{ bearer: {{ token: old }} }}{RESUME}");
    let (end, _) = World::run(source(&server.url(), &fixed), None).end().await;
    assert!(broken(&end).contains("renew the credentials"), "{end:?}");
    assert_eq!(server.calls(), 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn basic_an_api_key_and_values_from_files_are_sent_as_they_are_meant() {
    let (_folder, path) = file("from a file\n");
    let server = Server::start(|_, _| Vec::new()).await;
    let cases = [
        ("auth: { basic: { username: me, password: \"p:w\" } }".to_owned(), "Basic bWU6cDp3"),
        (
            format!("auth: {{ basic: {{ username: me, password_file: \"{}\" }} }}", path.display()),
            "Basic bWU6ZnJvbSBhIGZpbGU=",
        ),
        ("auth: { api_key: { key: Authorization, value: k } }".to_owned(), "k"),
        (format!("metadata_files: {{ authorization: \"{}\" }}", path.display()), "from a file"),
    ];
    for (auth, expected) in cases {
        let keys = format!("on_end: finish\n    {auth}");
        let (end, _) = World::run(source(&server.url(), &keys), None).end().await;
        assert_eq!((end, server.callers().pop().as_deref()), (ShardEnd::Finished, Some(expected)));
    }
    let both =
        "on_end: finish\n    metadata: { a: b }\n    auth: { api_key: { key: x-token, value: v } }";
    let (end, _) = World::run(source(&server.url(), both), None).end().await;
    assert_eq!(end, ShardEnd::Finished);
    let requests = server.seen.requests.lock().expect("no panic while locked");
    let (_, metadata) = requests.last().expect("a call");
    assert_eq!(metadata.get("x-token").expect("sent"), "v");
    assert_eq!(metadata.get("a").expect("sent"), "b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_share_one_token_which_is_asked_for_as_the_standard_says() {
    let issuer = Issuer::of_tokens(3_600).await;
    let server = Server::start(|_, request| then(admit("Bearer t1", request), Step::Hang)).await;
    let more =
        r#", scopes: [read, "a b"], audience: "https://feed", parameters: { resource: x&y }"#;
    let shards = "requests: [ { name: a }, { name: b }, { name: c } ]";
    let keys = format!("{FAST}\n    {shards}\n    {}{RESUME}", oauth2(&issuer, more));
    let world = World::run_shards(source(&server.url(), &keys), 3, None);
    world.committed(30).await;
    world.stop().await;
    assert_eq!(server.callers(), ["Bearer t1", "Bearer t1", "Bearer t1"]);
    let asked = issuer.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    // me:s3cr3t%2FValue%2B42
    assert_eq!(asked[0].authorization, "Basic bWU6czNjcjN0JTJGVmFsdWUlMkI0Mg==");
    assert_eq!(asked[0].content_type, "application/x-www-form-urlencoded");
    assert_eq!(
        asked[0].form,
        "grant_type=client_credentials&scope=read%20a%20b&audience=https%3A%2F%2Ffeed\
         &resource=x%26y"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_forgotten_and_the_next_call_bears_another() {
    let issuer = Issuer::of_tokens(3_600).await;
    // The first token is revoked after the first call.
    let server = Server::start(|call, request| match call {
        0 => then(admit("Bearer t1", request), Step::Fail(Status::unavailable("restart"))),
        _ => then(admit("Bearer t2", request), Step::Hang),
    })
    .await;
    let post = oauth2(&issuer, ", client_auth: post");
    let keys = format!("{FAST}\n    {post}{RESUME}");
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(20).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), (1..=20).collect::<Vec<_>>());
    assert_eq!(server.callers(), ["Bearer t1", "Bearer t1", "Bearer t2"]);
    let asked = issuer.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].authorization, "");
    let form = "grant_type=client_credentials&client_id=me&client_secret=s3cr3t%2FValue%2B42";
    assert_eq!(asked[0].form, form);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_replaced_before_its_token_expires_and_nothing_is_lost() {
    let issuer = Issuer::of_tokens(3).await;
    let server = Server::start(|call, request| {
        then(admit(&format!("Bearer t{}", call + 1), request), Step::Hang)
    })
    .await;
    // Any wait between two calls would be longer than the test has patience.
    let slow = "reconnect: { backoff_min_ms: 600000, backoff_max_ms: 600000 }";
    let auth = oauth2(&issuer, ", reopen_before_expiry: true");
    let world = World::run(source(&server.url(), &format!("{slow}\n    {auth}{RESUME}")), None);
    world.committed(30).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values()[..30], (1..=30).collect::<Vec<_>>());
    assert_eq!(server.callers()[..3], ["Bearer t1", "Bearer t2", "Bearer t3"]);
    assert_eq!(finished.position().counters.gaps, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_endpoint_that_is_busy_is_waited_for_and_one_that_refuses_stops_the_shard() {
    let server = Server::start(|_, request| then(admit("Bearer t3", request), Step::Hang)).await;
    let busy = Issuer::start(|count| match count {
        0 => (503, "try later".to_owned()),
        1 => (429, r#"{"error":"slow_down"}"#.to_owned()),
        _ => (200, token(count + 1, 3_600)),
    })
    .await;
    let keys = format!("{FAST}\n    {}{RESUME}", oauth2(&busy, ""));
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(10).await;
    world.stop().await;
    assert_eq!((busy.asked().len(), server.calls()), (3, 1));

    let refusing = Issuer::start(|_| {
        let said = format!("no client with {SECRET}");
        (401, format!(r#"{{"error":"invalid_client","error_description":"{said}"}}"#))
    })
    .await;
    let keys = format!("{FAST}\n    {}{RESUME}", oauth2(&refusing, ""));
    let (end, _) = World::run(source(&server.url(), &keys), None).end().await;
    let reason = broken(&end);
    assert!(reason.contains("the token endpoint 127.0.0.1:"), "{reason}");
    assert!(reason.contains("invalid_client: no client with …; correct `auth.oauth2`"), "{reason}");
    assert_eq!((refusing.asked().len(), server.calls()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_from_a_file_may_be_renewed_while_the_token_endpoint_refuses() {
    let (_folder, path) = file("old");
    let issuer = Issuer::start(|count| match count {
        0..3 => (401, r#"{"error":"invalid_client"}"#.to_owned()),
        _ => (200, token(1, 3_600)),
    })
    .await;
    let server = Server::start(|_, request| then(admit("Bearer t1", request), Step::Hang)).await;
    let auth = format!(
        "auth: {{ oauth2: {{ token_url: \"{}\", client_id: me, client_secret_file: \"{}\" }} }}",
        issuer.url(),
        path.display()
    );
    let world = World::run(source(&server.url(), &format!("{FAST}\n    {auth}{RESUME}")), None);
    until("the secret is refused", || !issuer.asked().is_empty()).await;
    world.committed(10).await;
    world.stop().await;
    assert_eq!(issuer.asked().len(), 4);
}
