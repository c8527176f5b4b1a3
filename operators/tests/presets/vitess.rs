//! Vitess VStream.

use crate::fake::{Fake, method};
use crate::rig::{file, run_by, source};
use crate::world::{World, broken};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_operators::source::Resumability;
use serde_json::{Value as Json, json};
use tonic::Status;

/// What happens in the keyspace, over all shards, in the order in which VTGate sends it.
const STEPS: usize = 30;

/// The first steps copy what the table holds.
const COPIES: usize = 6;

/// Before this step one shard is split into two.
const RESHARD: usize = 20;

/// The shards that a VGTID names behind a step.
fn shards(step: usize) -> &'static [&'static str] {
    if step < RESHARD { &["-80", "80-"] } else { &["-40", "40-80", "80-"] }
}

/// Where all shards stand behind a step: their positions, and while rows are copied the last key.
fn vgtid(step: usize) -> Json {
    let shards = shards(step);
    let one = |(place, shard): (usize, &&str)| {
        let behind = (1..=step).filter(|it| it % shards.len() == place).max().unwrap_or(0);
        let gtid = format!("MySQL56/16b1039f-22b6-11ed-b765-0a43f95f28a3:1-{behind}");
        let key = json!({ "lengths": ["2"], "values": STANDARD.encode(format!("{behind:02}")) });
        let last = json!({ "tableName": "orders", "lastpk": { "rows": [key] } });
        let mut position = json!({ "keyspace": "commerce", "shard": shard, "gtid": gtid });
        if behind > 0 && step < COPIES {
            position["tablePKs"] = json!([last]);
        }
        position
    };
    json!({ "shardGtids": shards.iter().enumerate().map(one).collect::<Vec<_>>() })
}

fn row(step: usize, number: usize) -> Json {
    let values = STANDARD.encode(format!("row {step}/{number}"));
    let after = json!({ "lengths": ["8"], "values": values });
    let change = json!({ "tableName": "commerce.orders", "rowChanges": [{ "after": after }] });
    json!({ "type": "ROW", "rowEvent": change })
}

/// The messages of a step: a transaction in one message or in several, or what changes no row.
fn messages(step: usize) -> Vec<Vec<Json>> {
    let of = |kind: &str| json!({ "type": kind });
    let place = json!({ "type": "VGTID", "vgtid": vgtid(step) });
    let field = json!({ "type": "FIELD", "fieldEvent": { "tableName": "commerce.orders" } });
    match step % 5 {
        _ if step <= COPIES => {
            vec![vec![of("BEGIN"), field, row(step, 0)], vec![row(step, 1), place, of("COMMIT")]]
        }
        0 => vec![vec![place, of("OTHER")]],
        1 => vec![vec![place, of("DDL")]],
        2 => vec![vec![of("BEGIN"), field, row(step, 0), row(step, 1), place, of("COMMIT")]],
        3 => vec![
            vec![of("BEGIN"), field, row(step, 0)],
            vec![row(step, 1)],
            vec![place, of("COMMIT")],
        ],
        _ => vec![
            vec![of("BEGIN"), field, row(step, 0)],
            vec![row(step, 1), place],
            vec![of("COMMIT")],
        ],
    }
}

/// What a request begins behind: it must name a VGTID that was sent, as it was.
fn behind(request: &Json) -> Option<usize> {
    if request["vgtid"] == json!({ "shardGtids": [{ "keyspace": "commerce" }] }) {
        return Some(0);
    }
    (1..=STEPS).find(|step| request["vgtid"] == vgtid(*step))
}

/// Everything behind a VGTID, with a heartbeat behind each message.
fn stream(request: &Json) -> Result<Vec<Json>, Status> {
    if request["tabletType"] != "REPLICA" || request["flags"]["heartbeatInterval"] != 10 {
        return Err(Status::invalid_argument("not what the preset asks for"));
    }
    let behind = behind(request);
    let behind = behind.ok_or_else(|| Status::invalid_argument("no such position"))?;
    let heartbeat = || json!({ "events": [{ "type": "HEARTBEAT" }] });
    let all = (behind + 1..=STEPS).flat_map(messages);
    Ok(all.flat_map(|events| [json!({ "events": events }), heartbeat()]).collect())
}

const REQUEST: &str = "request: { vgtid: { shard_gtids: [{ keyspace: commerce }] }, \
                       filter: { rules: [{ match: orders }] } }";

/// All events but heartbeats, in order.
fn events(committed: &[Json]) -> Vec<Json> {
    committed.iter().flat_map(|it| it["events"].as_array().expect("a list").clone()).collect()
}

async fn all_events_come_once(cuts: &[usize], first: usize, behind_each: &[usize]) {
    let fake = Fake::start(method("vitess.proto", "vtgateservice.Vitess/VStream"), cuts, stream);
    let fake = fake.await;
    let text = file(&fake.url, "vitess.proto", "vitess-vstream", REQUEST);
    let expected: Vec<Json> = (1..=STEPS).flat_map(messages).flatten().collect();
    let all = expected.len();
    let outcome =
        run_by(fake, &text, move |it| it.len() >= first, move |it| events(it).len() >= all).await;
    assert_eq!(events(&outcome.committed), expected, "each event once, in order");
    assert_eq!(outcome.resumability, Resumability::Exact);
    let begun: Vec<_> =
        outcome.requests.iter().map(|it| behind(it).expect("one of ours")).collect();
    assert_eq!(begun, behind_each);
    let filters = outcome.requests.iter().map(|it| it["filter"]["rules"][0]["match"].clone());
    assert!(filters.eq(std::iter::repeat_n(json!("orders"), begun.len())), "the request stays");
}

#[tokio::test]
async fn vitess_goes_on_behind_the_last_transaction_while_it_copies_and_behind() {
    // The first cut stands in a copy, between its rows; the second between the messages of step 8,
    // a transaction that is open; the third before the commit of step 9, behind its VGTID.
    all_events_come_once(&[13, 17, 10], 16, &[0, 3, 7, 8]).await;
}

#[tokio::test]
async fn vitess_goes_on_with_the_shards_that_a_split_has_left() {
    // Behind step 20, before which one shard became two, and in the middle of step 23.
    let before: usize = (1..=20).map(|step| messages(step).len() * 2).sum();
    all_events_come_once(&[before, 8], before / 2 + 2, &[0, 20, 22]).await;
}

#[tokio::test]
async fn vitess_stops_where_the_binary_logs_are_purged() {
    for status in [
        Status::unknown(
            "target: commerce.-80.replica: Cannot replicate because the source purged required \
             binary logs. (errno 1236) (sqlstate HY000)",
        ),
        Status::invalid_argument("target: commerce.-80.replica: GTIDSet Mismatch: requested"),
    ] {
        let answer = move |request: &Json| match behind(request) {
            Some(0) => stream(request),
            _ => Err(status.clone()),
        };
        let method = method("vitess.proto", "vtgateservice.Vitess/VStream");
        let fake = Fake::start(method, &[4, 1, 1], answer).await;
        let text = file(&fake.url, "vitess.proto", "vitess-vstream", REQUEST);
        let (end, _) = World::run(source(&text), None).end().await;
        assert!(broken(&end).contains("no longer has what follows the cursor"), "{end:?}");
        assert_eq!(fake.requests().len(), 2, "it is asked once");
    }
}
