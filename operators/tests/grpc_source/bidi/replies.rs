//! Answers to the server's messages: to those that ask for one, at once, with what they bear.

use super::server::{Ping, Response, Server};
use super::{follow, numbers};
use crate::world::{World, until};
use headwater_operators::source::ShardEnd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub const REPLY: &str = r#"request: { topic: news }
    stream:
      reply:
        - when: has(ping) && ping.id > 0
          send: { topic: pong, pong: { id: "${message.ping.id}", note: "${message.ping.note}" } }
    on_end: finish"#;

pub fn ping(id: i32) -> Response {
    let ping = Ping { id, note: format!("note {id}") };
    Response { ping: Some(ping), ..Response::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_on_a_missing_answer_stays() {
    let server = Server::start(|mut talk| async move {
        talk.hear().await;
        for id in 1..=200 {
            talk.items([id]).await;
            let id = i32::try_from(id).expect("small");
            // One that asks for no answer gets none.
            talk.say(&ping(-id)).await;
            talk.say(&ping(id)).await;
            let answer = talk.hear().await.expect("an answer");
            assert_eq!(answer.topic, "pong");
            assert_eq!(answer.pong, Some(Ping { id, note: format!("note {id}") }));
        }
    })
    .await;
    let (end, finished) = World::run(follow(&server.url(), REPLY), None).end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(server.calls(), 1);
    let values: Vec<_> = finished.batches.iter().flat_map(|batch| batch.values.iter()).collect();
    assert_eq!(super::items(values).len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_the_server_does_not_take_stop_the_reader_and_none_is_lost() {
    const PINGS: i32 = 20_000;
    let heard = Arc::new(AtomicU64::new(0));
    let said = Arc::new(AtomicU64::new(0));
    let (of_heard, of_said) = (heard.clone(), said.clone());
    let server = Server::start(move |mut talk| {
        let (heard, said) = (of_heard.clone(), of_said.clone());
        async move {
            talk.hear().await;
            // It takes no answer while it can send.
            let mut note = "x".repeat(4096);
            for id in 1..=PINGS {
                let ping = Ping { id, note: std::mem::take(&mut note) };
                note.clone_from(&ping.note);
                let response = Response { ping: Some(ping), ..Response::default() };
                let sent = talk.say(&response);
                if tokio::time::timeout(std::time::Duration::from_secs(1), sent).await.is_err() {
                    break;
                }
                said.fetch_add(1, SeqCst);
            }
            let mut next = 1;
            while heard.load(SeqCst) < said.load(SeqCst) {
                let answer = talk.hear().await.expect("an answer to each");
                assert_eq!(answer.pong.expect("a pong").id, next, "in their order");
                next += 1;
                heard.fetch_add(1, SeqCst);
            }
        }
    })
    .await;
    let world = World::run(follow(&server.url(), REPLY), None);
    let (end, _) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
    let said = said.load(SeqCst);
    assert!(said < u64::try_from(PINGS).expect("positive"), "the server was stopped by its own");
    assert_eq!(heard.load(SeqCst), said);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_acks_and_credit_take_turns() {
    let server = Server::start(|mut talk| async move {
        talk.hear().await;
        let (mut acked, mut granted, mut answered) = (0, 2, 0);
        for number in 1..=300 {
            while granted == 0 {
                let request = talk.hear().await.expect("more credit");
                acked += request.ack_ids.len();
                granted += request.num_requested;
                answered += i32::from(request.pong.is_some());
            }
            talk.items([number]).await;
            talk.say(&ping(1)).await;
            granted -= 1;
        }
        while acked < 300 || answered < 300 {
            let request = talk.hear().await.expect("what is still owed");
            acked += request.ack_ids.len();
            answered += i32::from(request.pong.is_some());
        }
    })
    .await;
    let keys = r#"request: { topic: news }
    stream:
      reply: [{ when: has(ping), send: { pong: { id: "${message.ping.id}" } } }]
      credit: { field: num_requested, window: 2, count: "items[]" }
      ack: { field: ack_ids, from: "items[].ack_id", batch_max: 1 }
    on_end: finish"#;
    let world = World::run(follow(&server.url(), keys), None);
    until("all is committed", || numbers(&world).len() == 300).await;
    let (end, _) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
}
