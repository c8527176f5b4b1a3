//! Goal: whoever speaks to Kafka Connect's REST API cannot tell Headwater's from it.
//! Method: scenarios, recorded from a real Kafka Connect 4.1 worker with the Java connector, are
//! played against a server and every answer is compared.
//!
//! ```text
//! scripts/connect-record record       # starts a real worker, writes its answers into the cases
//! scripts/connect-record replay       # a fresh real worker must answer the same
//! HEADWATER_CONNECT_CONTRACT=http://127.0.0.1:8083 \
//!   cargo test --test connect -- --ignored --nocapture against_a_server    # any server
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
//! | `placeholder` | what stands for values that differ from run to run |
//! | `client`, `world` | HTTP; what the connectors of the cases find around them |
//! | `layout` | how the files are written |

mod case;
mod client;
mod compare;
mod layout;
mod placeholder;
mod play;
mod recorded;
mod world;

use std::env;

const NO_SERVER: &str = "set HEADWATER_CONNECT_CONTRACT=http://HOST:PORT to the server that is to \
                         be tried, or use scripts/connect-record";

#[test]
#[ignore = "needs a server: HEADWATER_CONNECT_CONTRACT=http://HOST:PORT"]
fn against_a_server() {
    let only = env::var("HEADWATER_CONNECT_ONLY").unwrap_or_default();
    let parts: Vec<String> = only.split_whitespace().map(str::to_owned).collect();
    if let Ok(base_url) = env::var("HEADWATER_CONNECT_RECORD") {
        play::record_some(&base_url, &parts).unwrap();
        return;
    }
    let base_url = env::var("HEADWATER_CONNECT_CONTRACT").expect(NO_SERVER);
    let differences = match parts.is_empty() {
        true => play::play_all(&base_url),
        false => play::play_some(&base_url, &parts),
    };
    let differences = differences.unwrap();
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{} calls differ:\n\n{}", told.len(), told.join("\n\n"));
}
