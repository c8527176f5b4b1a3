//! Goal: names are made as the file says, and what can name no topic is refused with a reason. What
//! happens on a broker is tested with one (`tests/kafka_sink`).

use super::*;

fn compile(name: &str) -> Result<Route, RouteError> {
    Route::compile(name, "orders", "yyyyMMdd", Some("site"), 2)
}

fn router(name: &str) -> Router {
    let reserved = BTreeSet::from(["orders-dead".to_owned()]);
    let route = compile(name).expect("a sound name");
    let mut router = Router::new(route, None, reserved);
    let known = Known { partitions: 3, used: Instant::now() };
    for topic in ["orders-kiel", "orders-bremen"] {
        router.known.insert(Arc::from(topic), known);
    }
    router
}

/// A cluster that is never asked.
fn nowhere() -> KafkaTarget {
    let config = serde_json::json!({ "brokers": "127.0.0.1:1", "topic": "t" });
    KafkaTarget::new(&serde_json::from_value(config).expect("a sink's keys"))
}

fn direct(router: &mut Router, field: &[u8]) -> Result<String, String> {
    let directed = router.direct(&nowhere(), 0, Some(field), Instant::now());
    match directed.expect("nothing is looked up") {
        Direction::Topic(topic, partitions) => Ok(format!("{topic}/{partitions}")),
        Direction::Nowhere(reason) => Err(reason),
    }
}

#[test]
fn a_name_is_made_of_topic_moment_and_field() {
    let mut router = router("{field}.{topic}-{timestamp}x");
    router.write_name(1_700_000_000_123, Some(b"kiel"));
    assert_eq!(router.scratch, b"kiel.orders-20231114x");
    router.write_name(0, None);
    assert_eq!(router.scratch, b".orders-19700101x", "an absent field is empty");
}

#[test]
fn records_go_to_known_topics_and_nowhere_where_no_topic_can_be() {
    let mut router = router("{topic}-{field}");
    assert_eq!(direct(&mut router, b"kiel").as_deref(), Ok("orders-kiel/3"));
    assert_eq!(direct(&mut router, b"kiel").as_deref(), Ok("orders-kiel/3"));
    assert_eq!(direct(&mut router, b"bremen").as_deref(), Ok("orders-bremen/3"));
    for (field, words) in [
        (&b"a/b"[..], "no topic's name may hold"),
        (b"dead", "used for something else"),
        (b"\xff", "is no text"),
        (b"third", "2 topics are in use"),
        (&[b'x'; 300], "longer than 249"),
    ] {
        let reason = direct(&mut router, field).expect_err("no topic");
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn a_topic_that_was_not_written_to_for_long_leaves_room() {
    let mut router = router("{topic}-{field}");
    let later = Instant::now() + ROUTED_TOPIC_IDLE;
    let direction = router.direct(&nowhere(), 0, Some(b"kiel"), later);
    assert!(matches!(direction, Ok(Direction::Topic(..))));
    let left: Vec<Arc<str>> = router.topics(later).collect();
    assert_eq!(left, [Arc::from("orders-kiel")]);
}

#[test]
fn mistakes_of_a_name_are_told_apart() {
    assert!(matches!(compile("{topics}"), Err(RouteError::Unknown(_))));
    assert!(matches!(compile("{topic"), Err(RouteError::Open)));
    assert!(matches!(compile("a b{timestamp}"), Err(RouteError::Character(' '))));
    assert!(matches!(compile("{topic}-x"), Err(RouteError::Constant)));
    let format = |format| Route::compile("{timestamp}", "t", format, None, 1);
    assert!(matches!(format("YYYY"), Err(RouteError::Moment(_))));
    assert!(matches!(format("yyyy/MM"), Err(RouteError::Character('/'))));
}
