//! Goal: whoever speaks to Kafka Connect's REST API cannot tell Headwater's from it.
//! Method: scenarios, recorded from a real Kafka Connect 4.1 worker with the Java connector, are
//! played against a server and every answer is compared.
//!
//! ```text
//! scripts/connect-record record       # starts a real worker, writes its answers into the cases
//! scripts/connect-record replay       # a fresh real worker must answer the same
//! cargo test --test connect                   # a Headwater of the test's own must answer so
//! HEADWATER_CONNECT_CONTRACT=http://127.0.0.1:8083 \
//!   cargo test --test connect -- --nocapture against_a_server    # any other server
//! ```
//!
//! `HEADWATER_CONNECT_ONLY="name name"` plays only cases with one of these in their name. The cases
//! and their README are in `tests/cases/connect`.
//!
//! | file | what it has |
//! |---|---|
//! | `case` | a scenario and its file |
//! | `play` | `play_all`: plays the cases against a base URL, and tells the differences |
//! | `compare` | judges an answer |
//! | `deviations` | what Headwater answers otherwise, and why |
//! | `headwater` | the Headwater that is tried |
//! | `placeholder` | what stands for values that differ from run to run |
//! | `client`, `world` | HTTP; what the connectors of the cases find around them |
//! | `layout` | how the files are written |

mod case;
mod client;
mod compare;
#[allow(dead_code, reason = "of the bench of other tests only Kafka is needed here")]
#[path = "../delivery/world.rs"]
mod delivery;
mod deviations;
mod headwater;
mod layout;
mod placeholder;
mod play;
mod recorded;
mod world;

use std::env;

use deviations::Deviations;

/// Against a Headwater of its own, or the server that is named.
#[test]
fn against_a_server() {
    let only = env::var("HEADWATER_CONNECT_ONLY").unwrap_or_default();
    let parts: Vec<String> = only.split_whitespace().map(str::to_owned).collect();
    if let Ok(base_url) = env::var("HEADWATER_CONNECT_RECORD") {
        play::record_some(&base_url, &parts).unwrap();
        return;
    }
    let (differences, log) = match env::var("HEADWATER_CONNECT_CONTRACT") {
        Ok(base_url) if parts.is_empty() => (play::play_all(&base_url), String::new()),
        Ok(base_url) => (play::play_some(&base_url, &parts, &Deviations::default()), String::new()),
        Err(_) => {
            let served = headwater::Served::start().unwrap();
            let deviations = Deviations::load(&case::load_all(&[]).unwrap()).unwrap();
            (play::play_some(&served.base_url(), &parts, &deviations), served.log())
        }
    };
    let differences = differences.unwrap_or_else(|error| panic!("{error:#}\n{log}"));
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{} calls differ:\n\n{}", told.len(), told.join("\n\n"));
}
