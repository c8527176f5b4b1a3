//! Goal: what a stream says of itself (ends of groups, heartbeats, losses), what its calls say
//! (headers, trailers) and what nothing says (streams that are replayed or cannot resume) lead to
//! each message once, over cuts and restarts. Method: the scripted server cuts in the middle of
//! groups and pages; positions are carried from one world to the next, as a restart does.

use crate::server::{Server, Step, event, events};
use crate::world::{FAST, World, broken, source, until};
use headwater_engine::record::GapReason;
use headwater_operators::source::ShardEnd;
use headwater_proto::telemetry::Event;
use prost::Message;
use tonic::Status;

fn unavailable() -> Step {
    Step::Fail(Status::unavailable("bye"))
}

fn marked(sequence: u64, payload: &[u8]) -> Step {
    Step::Send(Event { alarm: true, payload: payload.to_vec(), ..event(sequence) })
}

fn part(sequence: u64, payload: &[u8]) -> Step {
    Step::Send(Event { payload: payload.to_vec(), ..event(sequence) })
}

fn resume(more: &str) -> String {
    format!(
        r#"{FAST}
    resume:
      cursor: {{ seq: {{ from: sequence }} }}
      restart: {{ set: {{ from_sequence: "${{cursor.seq}}" }} }}
      {more}"#
    )
}

fn payloads(batches: &[headwater_engine::record::Batch]) -> Vec<String> {
    let text = |wire: &[u8]| {
        let event = Event::decode(wire).expect("what was sent");
        String::from_utf8(event.payload).expect("a text")
    };
    batches.iter().flat_map(|batch| batch.values.iter().map(text).collect::<Vec<_>>()).collect()
}

/// Slots as Yellowstone sends them: many messages of one value, the next slot begins before the
/// last one has ended, and a restart at a slot sends it again from its beginning.
fn slots(from: u64) -> Vec<Step> {
    let all = [
        (1, part(1, b"1a")),
        (1, part(1, b"1b")),
        (2, part(2, b"2a")),
        (1, marked(1, b"1end")),
        (2, part(2, b"2b")),
        (2, marked(2, b"2end")),
        (3, part(3, b"3a")),
        (3, marked(3, b"3end")),
    ];
    all.into_iter().filter(|(slot, _)| *slot >= from).map(|(_, step)| step).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_and_a_restart_in_the_middle_of_mixed_groups_lose_and_repeat_nothing() {
    // Cut after each number of messages, by the server and then by a restart.
    for cut in 1..8 {
        let server = Server::start(move |call, request| {
            let steps = slots(request.from_sequence).into_iter();
            match call {
                0 | 2 => steps.take(cut).chain([unavailable()]).collect(),
                _ => steps.chain([Step::Hang]).collect(),
            }
        })
        .await;
        let keys = resume("position: at\n      boundary: { when: alarm }");
        let world = World::run(source(&server.url(), &keys), None);
        let count = |world: &World| payloads(&world.batches()).len();
        until("the server was called again", || server.calls() == 2).await;
        let (end, first) = world.stop().await;
        assert_eq!(end, ShardEnd::Stopped);
        let start = first.batches.last().and_then(|batch| batch.position.as_deref().cloned());
        let taken = payloads(&first.batches);
        let world = World::run(source(&server.url(), &keys), start);
        until("all slots are committed", || taken.len() + count(&world) >= 8).await;
        let (_, second) = world.stop().await;
        let mut all = [taken, payloads(&second.batches)].concat();
        all.sort();
        assert_eq!(all, ["1a", "1b", "1end", "2a", "2b", "2end", "3a", "3end"], "cut at {cut}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_is_committed_at_the_end_of_a_group_only() {
    let server = Server::start(|_, _| {
        [part(1, b"a"), part(2, b"b"), marked(3, b"end"), part(4, b"open"), Step::Hang].into()
    })
    .await;
    let keys = resume("sequence: monotone\n      boundary: { when: 'alarm && size(payload) > 0' }");
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(3).await;
    until("the open group is received", || {
        world.telemetry.shard("test", "s", "0").received_messages.get() == 4
    })
    .await;
    let (_, finished) = world.stop().await;
    assert_eq!(payloads(&finished.batches), ["a", "b", "end"]);
    let cursor = finished.position().cursor.expect("a cursor").to_string();
    assert_eq!(cursor, "seq=3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_on_a_silent_stream_is_committed_and_not_passed_on() {
    let server = Server::start(|call, _| match call {
        0 => [part(1, b"a"), marked(50, b""), Step::Hang].into(),
        _ => [marked(60, b""), part(61, b"b"), Step::Hang].into(),
    })
    .await;
    let keys = resume("sequence: monotone\n      heartbeat: { when: alarm }");
    let world = World::run(source(&server.url(), &keys), None);
    let cursor = |world: &World| {
        let last = world.batches().last().and_then(|batch| batch.position.clone());
        last.and_then(|position| position.cursor.as_ref().map(ToString::to_string))
    };
    until("the heartbeat's cursor is committed", || cursor(&world).as_deref() == Some("seq=50"))
        .await;
    assert_eq!(world.telemetry.shard("test", "s", "0").heartbeats.get(), 1);
    let (_, first) = world.stop().await;
    assert_eq!(payloads(&first.batches), ["a"]);
    let world = World::run(source(&server.url(), &keys), Some(first.position()));
    world.committed(1).await;
    let (_, second) = world.stop().await;
    assert_eq!(payloads(&second.batches), ["b"]);
    assert_eq!(server.requests()[1].from_sequence, 50);
    assert_eq!(second.position().counters.heartbeats, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_that_runs_ahead_of_its_data_moves_nothing_where_that_is_declared() {
    let server = Server::start(|call, request| match call {
        0 => [part(1, b"a"), marked(9, b""), part(2, b"b"), unavailable()].into(),
        _ => events(request.from_sequence + 1, 4).into_iter().chain([Step::Hang]).collect(),
    })
    .await;
    let keys = resume("sequence: monotone\n      heartbeat: { when: alarm, advance: false }");
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(4).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), [1, 2, 3, 4]);
    assert_eq!(server.requests()[1].from_sequence, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_of_a_loss_are_a_gap_or_stop_the_shard() {
    let script = |_: usize, _: &_| {
        let told = Event { alarm: true, emitted_ns: 7, ..event(2) };
        vec![Step::Send(event(1)), Step::Send(told), Step::Send(event(3)), Step::Hang]
    };
    let server = Server::start(script).await;
    let keys = resume("loss: { when: alarm, messages: emitted_ns, action: count }");
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(3).await;
    let (_, finished) = world.stop().await;
    let gaps: Vec<_> = finished.batches.iter().flat_map(|batch| &batch.gaps).collect();
    assert_eq!((gaps.len(), gaps[0].reason, gaps[0].size()), (1, GapReason::Told, Some(7)));
    assert_eq!(finished.telemetry.shard("test", "s", "0").gap_messages.get(), 7);

    let server = Server::start(script).await;
    let keys = resume("loss: { when: alarm }");
    let (end, finished) = World::run(source(&server.url(), &keys), None).end().await;
    assert!(broken(&end).contains("`resume.loss`"), "{end:?}");
    assert_eq!(finished.values(), [1], "what came before is delivered");
}

/// As Zilla does it: the cursor stands in a field that the types do not know, and goes back in a
/// header.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_the_types_do_not_know_resumes_by_a_header() {
    let numbered = |sequence: u64| {
        let mut bytes = event(sequence).encode_to_vec();
        // Field 32767, a string.
        bytes.extend([0xfa, 0xff, 0x0f, 2, b'k', b'0' + sequence as u8]);
        Step::Raw(bytes)
    };
    let server = Server::start(move |call, _| match call {
        0 => [numbered(1), numbered(2), unavailable()].into(),
        _ => [numbered(2), numbered(3), Step::Hang].into(),
    })
    .await;
    let keys = format!(
        r#"{FAST}
    resume:
      cursor: {{ id: {{ from: "@unknown:32767" }} }}
      restart: {{ metadata: {{ last-message-id: "${{cursor.id}}" }} }}"#
    );
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(3).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), [1, 2, 3], "what it sends again is known");
    let requests = server.seen.requests.lock().expect("no panic while locked");
    assert!(requests[0].1.get("last-message-id").is_none());
    assert_eq!(requests[1].1.get("last-message-id").expect("sent"), "k2");
}

/// Pages: a call is one page, and its trailer says how to ask for the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_go_on_by_their_trailer_and_a_page_that_was_cut_is_counted() {
    let page = |from| events(from, from + 2);
    let server = Server::start(move |call, request| {
        let end = |trailer| [Step::End { trailer: ("next-page", trailer) }];
        match (call, request.filter.as_str()) {
            (0, "") => page(1).into_iter().chain(end("p2")).collect(),
            // Cut after its second message.
            (1, "p2") => page(4).into_iter().take(2).chain([unavailable()]).collect(),
            (_, "p2") => page(4).into_iter().chain(end("p3")).collect(),
            _ => page(7).into_iter().chain([Step::Hang]).collect(),
        }
    })
    .await;
    let keys = format!(
        r#"{FAST}
    resume:
      cursor: {{ page: {{ from: "@trailer:next-page" }} }}
      restart: {{ set: {{ filter: "${{cursor.page}}" }} }}"#
    );
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(9).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), (1..=9).collect::<Vec<u64>>());
    let asked: Vec<String> = server.requests().iter().map(|it| it.filter.clone()).collect();
    assert_eq!(asked, ["", "p2", "p2", "p3"]);
    // A restart in the middle of the last page.
    let position = finished.position();
    assert_eq!(position.cursor.as_ref().expect("a token").to_string(), "page=p3");
    let world = World::run(source(&server.url(), &keys), Some(position));
    until("the page came again", || {
        world.telemetry.shard("test", "s", "0").duplicates_dropped.get() == 3
    })
    .await;
    assert!(world.stop().await.1.batches.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_of_the_call_goes_along_with_the_cursor_of_its_messages() {
    let server = Server::start(|call, request| match call {
        0 => events(1, 3).into_iter().chain([unavailable()]).collect(),
        _ => events(request.from_sequence, 5).into_iter().chain([Step::Hang]).collect(),
    })
    .await;
    *server.seen.headers.lock().expect("no panic while locked") =
        vec![("epoch", "e1"), ("epoch", "e2")];
    let keys = format!(
        r#"{FAST}
    resume:
      cursor: {{ epoch: {{ from: "@metadata:epoch" }}, seq: {{ from: sequence }} }}
      restart: {{ set: {{ from_sequence: "${{cursor.seq}}", filter: "${{cursor.epoch}}" }} }}"#
    );
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(5).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), [1, 2, 3, 4, 5]);
    let second = &server.requests()[1];
    assert_eq!((second.from_sequence, second.filter.as_str()), (3, "e1"));
    let cursor = finished.position().cursor.expect("a cursor").to_string();
    assert_eq!(cursor, "epoch=e2,seq=5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_replayed_as_a_whole_is_counted_over_cuts_and_restarts() {
    let server = Server::start(|call, request| {
        assert_eq!(request.from_sequence, 0);
        // Values that say nothing: the first message comes again at the end.
        let all = [5, 1, 1, 9, 5].map(|value| Step::Send(event(value)));
        match call {
            0 => all.into_iter().take(2).chain([Step::Cut]).collect(),
            1 => all.into_iter().take(1).chain([unavailable()]).collect(),
            2 => all.into_iter().take(4).chain([Step::Hang]).collect(),
            _ => all.into_iter().chain([Step::Hang]).collect(),
        }
    })
    .await;
    let keys = format!("{FAST}\n    resume: {{ mode: replay_all }}");
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(4).await;
    let (_, first) = world.stop().await;
    assert_eq!(first.values(), [5, 1, 1, 9]);
    let world = World::run(source(&server.url(), &keys), Some(first.position()));
    world.committed(1).await;
    let (_, second) = world.stop().await;
    assert_eq!(second.values(), [5]);
    assert_eq!(second.position().counters.gaps, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cannot_resume_reports_each_call_and_drops_what_its_key_knows() {
    let server = Server::start(|call, _| match call {
        0 => events(1, 3).into_iter().chain([unavailable()]).collect(),
        _ => events(2, 5).into_iter().chain([Step::Hang]).collect(),
    })
    .await;
    let keys =
        format!("{FAST}\n    resume: {{ mode: none, dedupe: {{ key: sequence, window: 100 }} }}");
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(5).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), [1, 2, 3, 4, 5]);
    let gaps: Vec<_> = finished.batches.iter().flat_map(|batch| &batch.gaps).collect();
    assert_eq!((gaps.len(), gaps[0].reason), (1, GapReason::NewCall));
    // Another process knows them as well.
    let world = World::run(source(&server.url(), &keys), Some(finished.position()));
    until("all came again", || {
        world.telemetry.shard("test", "s", "0").duplicates_dropped.get() == 4
    })
    .await;
    assert!(world.stop().await.1.batches.iter().all(|batch| batch.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_on_elsewhere_is_found_out_where_that_is_asked() {
    // It takes the request and begins at its newest message, as some do that lost their history.
    let script = |call: usize, _: &_| match call {
        0 => events(1, 3).into_iter().chain([unavailable()]).collect(),
        _ => events(8, 9).into_iter().chain([Step::Hang]).collect(),
    };
    let server = Server::start(script).await;
    let keys = resume("position: at\n      verify: strict");
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(5).await;
    let (_, finished) = world.stop().await;
    let gaps: Vec<_> = finished.batches.iter().flat_map(|batch| &batch.gaps).collect();
    assert_eq!((gaps.len(), gaps[0].reason, gaps[0].size()), (1, GapReason::Unverified, None));

    let server = Server::start(script).await;
    let keys = resume(
        "position: at\n      verify: strict\n      sequence: contiguous\n      on_gap: stop",
    );
    let (end, finished) = World::run(source(&server.url(), &keys), None).end().await;
    assert!(broken(&end).contains("4 to 7 are missing"), "{end:?}");
    assert_eq!(finished.values(), [1, 2, 3]);

    let server = Server::start(script).await;
    let keys =
        resume("position: at\n      verify: strict\n      sequence: monotone\n      on_gap: stop");
    let (end, finished) = World::run(source(&server.url(), &keys), None).end().await;
    assert!(broken(&end).contains("lies behind the cursor"), "{end:?}");
    assert_eq!(finished.values(), [1, 2, 3]);

    // One that repeats what it was not asked for.
    let server = Server::start(|call, _| match call {
        0 => events(1, 3).into_iter().chain([unavailable()]).collect(),
        _ => events(3, 9).into_iter().chain([Step::Hang]).collect(),
    })
    .await;
    let (end, _) = World::run(source(&server.url(), &resume("verify: strict")), None).end().await;
    assert!(broken(&end).contains("declare `position: at`"), "{end:?}");
}
