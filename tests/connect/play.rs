//! Plays the cases against a server: [`play_all`] is the entry for whoever has one to try.
//!
//! Each scenario starts without connectors. A call with `until` is repeated; any other is repeated
//! only while the server says that this will pass, as a Connect worker does while its group
//! settles. The first call of a scenario that cannot be made ends the scenario, not the run.
//!
//! Recording is playing: what would be compared is written into the case instead.

use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::case::{Answer, Call, Case, PLUGIN_CONFIG, load_all, root};
use crate::client::Client;
use crate::compare::{Finding, compare, compare_bodies, looked_at};
use crate::deviations::{Deviation, Deviations};
use crate::layout::pretty;
use crate::placeholder::{Given, fill, fill_all, scrub, scrub_text};
use crate::world::World;

/// A call that was answered otherwise than recorded.
#[derive(Debug)]
pub struct Difference {
    pub case: String,
    /// Which call of the case it is, from 1.
    pub call: usize,
    /// Method and path.
    pub request: String,
    pub findings: Vec<Finding>,
}

/// A case on its way.
struct Player<'a> {
    client: &'a Client,
    given: Vec<Given>,
    deviations: &'a Deviations,
}

/// The Java connector.
const CLASS: &str = "io.conduktor.connect.grpc.GrpcSourceConnector";
/// A worker that answers 409 so long has not settled.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// Whatever a call waits for comes within this.
const UNTIL_MAX: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(100);

/// What a worker says, with 409 or even with 500, when the same call may be made again in a moment.
const MOMENTARY: [&str; 2] = [
    "Cannot complete request momentarily",
    "Request cannot be completed because a rebalance is expected",
];

/// Plays all scenarios against the server at a base URL (`http://127.0.0.1:8083`) and returns every
/// difference. It deletes all connectors of that server.
///
/// # Errors
/// When the cases cannot be read, or the server takes no connection.
pub fn play_all(base_url: &str) -> Result<Vec<Difference>> {
    play_some(base_url, &[], &Deviations::default())
}

/// As [`play_all`], for the cases whose name holds one of the given parts, and with what is wanted
/// otherwise.
pub fn play_some(
    base_url: &str,
    parts: &[String],
    deviations: &Deviations,
) -> Result<Vec<Difference>> {
    let (world, client) = (World::start()?, Client::new(base_url)?);
    let player = Player { client: &client, given: world.given(), deviations };
    let mut differences = Vec::new();
    for case in load_all(parts)? {
        let found = player.play(&case)?;
        eprintln!("{}: {} calls, {} differ", case.name, case.scenario.calls.len(), found.len());
        differences.extend(found);
    }
    Ok(differences)
}

/// Writes what a server answers into the cases.
pub fn record_some(base_url: &str, parts: &[String]) -> Result<()> {
    let (world, client) = (World::start()?, Client::new(base_url)?);
    let deviations = &Deviations::default();
    let player = Player { client: &client, given: world.given(), deviations };
    for mut case in load_all(parts)? {
        let recorded = player.record(&mut case);
        // As far as it came: that shows best what went wrong.
        case.save()?;
        recorded?;
        eprintln!("{}: {} calls recorded", case.name, case.scenario.calls.len());
    }
    let keys = client.plain("GET", &format!("/connector-plugins/{CLASS}/config"))?;
    let keys = keys.body.context("the worker has the connector")?;
    fs::write(root().join(PLUGIN_CONFIG), pretty(&scrub(&keys, &[])))?;
    Ok(())
}

impl Player<'_> {
    fn play(&self, case: &Case) -> Result<Vec<Difference>> {
        self.clear()?;
        let mut differences = Vec::new();
        for (index, call) in case.scenario.calls.iter().enumerate() {
            let found = |findings| Difference::new(case, index, call, findings);
            let judged = match self.deviations.of(&case.name, index) {
                Some(deviation) => self.judge_deviation(call, deviation),
                None => self.judge(call),
            };
            match judged {
                Ok(findings) if findings.is_empty() => {}
                Ok(findings) => differences.push(found(findings)),
                Err(error) => {
                    let actual = Some(Value::from(format!("{error:#}")));
                    let place = "all further calls of this case".to_owned();
                    differences.push(found(vec![Finding { place, expected: None, actual }]));
                    break;
                }
            }
        }
        self.clear()?;
        Ok(differences)
    }

    fn judge(&self, call: &Call) -> Result<Vec<Finding>> {
        let expected = call.answer.as_ref().context("this call has not been recorded")?;
        let filled = self.filled(call);
        let actual = self.send(&filled)?;
        Ok(compare(&filled, &self.filled_answer(expected), &actual))
    }

    /// A call that is answered otherwise on purpose must be answered just so, and not as recorded.
    fn judge_deviation(&self, call: &Call, deviation: &Deviation) -> Result<Vec<Finding>> {
        let recorded = call.answer.as_ref().context("this call has not been recorded")?;
        let filled = self.filled(call);
        let ours = Call { until: deviation.until.clone(), or_refusal: false, ..filled.clone() };
        let actual = self.send(&ours)?;
        let mut findings = compare(&ours, &self.filled_answer(&deviation.answer), &actual);
        if compare(&filled, &self.filled_answer(recorded), &actual).is_empty() {
            let actual = Some("it is answered as recorded: delete the deviation".into());
            let place = "deviation".to_owned();
            findings.push(Finding { place, expected: None, actual });
        }
        for call in &deviation.then {
            let answer = self.send(&self.filled(call))?;
            if answer.status >= 300 {
                bail!("{} {} after a deviation: {answer:?}", call.method, call.path);
            }
        }
        Ok(findings)
    }

    fn record(&self, case: &mut Case) -> Result<()> {
        self.clear()?;
        for (index, call) in case.scenario.calls.iter_mut().enumerate() {
            let told =
                || format!("{}, call {}: {} {}", case.name, index + 1, call.method, call.path);
            let answer = self.send(&self.filled(call)).with_context(told)?;
            call.answer = Some(self.scrubbed(call, answer));
        }
        self.clear()
    }

    /// Sends a call as often as it takes; the last answer.
    fn send(&self, call: &Call) -> Result<Answer> {
        let limit = if call.until.is_empty() { SETTLE_MAX } else { UNTIL_MAX };
        let deadline = Instant::now() + limit;
        loop {
            let answer = self.client.send(call)?;
            let is_done = match call.until.is_empty() {
                true => !is_momentary(&answer),
                false => call.until.iter().all(|(place, expected)| is_at(&answer, place, expected)),
            };
            if is_done {
                return Ok(answer);
            }
            if Instant::now() >= deadline {
                bail!(
                    "waited {limit:?} in vain for {:?}; the last answer is {answer:?}",
                    call.until
                );
            }
            thread::sleep(LOOK);
        }
    }

    fn filled(&self, call: &Call) -> Call {
        let fill_map = |(name, value): (&String, &String)| (name.clone(), fill(value, &self.given));
        Call {
            path: fill(&call.path, &self.given),
            headers: call.headers.iter().map(fill_map).collect(),
            body: call.body.as_ref().map(|it| fill_all(it, &self.given)),
            text: call.text.as_ref().map(|it| fill(it, &self.given)),
            ..call.clone()
        }
    }

    fn filled_answer(&self, answer: &Answer) -> Answer {
        let fill_map = |(name, value): (&String, &String)| (name.clone(), fill(value, &self.given));
        Answer {
            status: answer.status,
            headers: answer.headers.iter().map(fill_map).collect(),
            body: answer.body.as_ref().map(|it| fill_all(it, &self.given)),
            text: answer.text.as_ref().map(|it| fill(it, &self.given)),
        }
    }

    fn scrubbed(&self, call: &Call, answer: Answer) -> Answer {
        let mut given = self.given.clone();
        given.push(("worker_id", self.client.authority().to_owned()));
        let scrub_map = |(name, value)| (name, scrub_text(value, &given));
        Answer {
            status: answer.status,
            headers: answer
                .headers
                .iter()
                .map(|(name, value)| scrub_map((name.clone(), value)))
                .collect(),
            body: answer.body.map(|it| scrub(&looked_at(call, &it), &given)),
            text: answer.text.map(|it| scrub_text(&it, &given)),
        }
    }

    /// No connector is left, whatever a case before has done; but see [`Player::delete`].
    fn clear(&self) -> Result<()> {
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            let listed = self.client.plain("GET", "/connectors")?;
            let names = listed.body.as_ref().and_then(Value::as_array).cloned();
            let names = names.with_context(|| format!("GET /connectors: {listed:?}"))?;
            let mut is_clear = true;
            for name in names.iter().filter_map(Value::as_str) {
                is_clear &= !self.delete(name)?;
            }
            if is_clear {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("connectors cannot be deleted: {names:?}");
            }
            thread::sleep(LOOK);
        }
    }

    /// Whether it may be gone in a moment. Some names a worker takes and then refuses in every
    /// path.
    fn delete(&self, name: &str) -> Result<bool> {
        let answer = self.client.plain("DELETE", &format!("/connectors/{}", encode(name)))?;
        Ok(answer.status != 400)
    }
}

fn is_momentary(answer: &Answer) -> bool {
    let message = answer.body.as_ref().and_then(|it| it["message"].as_str()).unwrap_or_default();
    matches!(answer.status, 409 | 500) && MOMENTARY.iter().any(|it| message.starts_with(it))
}

fn is_at(answer: &Answer, place: &str, expected: &Value) -> bool {
    answer.at(place).is_some_and(|actual| compare_bodies(expected, &actual, &[]).is_empty())
}

/// A name as one segment of a path.
fn encode(name: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(one).collect()
}

impl Difference {
    fn new(case: &Case, index: usize, call: &Call, findings: Vec<Finding>) -> Difference {
        let request = format!("{} {}", call.method, call.path);
        Difference { case: case.name.clone(), call: index + 1, request, findings }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, call {}: {}", self.case, self.call, self.request)?;
        self.findings.iter().try_for_each(|it| write!(out, "\n{it}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Says to every request that there is nothing.
    fn empty_server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut byte = [0];
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    head.extend(byte);
                }
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
                let _ = stream.write_all(format!("{head}content-length: 2\r\n\r\n[]").as_bytes());
            }
        });
        format!("http://{address}")
    }

    #[test]
    fn a_server_that_answers_otherwise_is_told_of_each_call() {
        let call = |path: &str, expected: Value| {
            let json = json!({"content-type": "application/json"});
            json!({"method": "GET", "path": path,
                   "answer": {"status": 200, "headers": json, "body": expected}})
        };
        let calls = [call("/connectors", json!([])), call("/x", json!({"version": "{{version}}"}))];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let scenario = json!({"about": "a test", "calls": calls});
        std::fs::write(&path, scenario.to_string()).unwrap();
        let client = Client::new(&empty_server()).unwrap();
        let deviations = &Deviations::default();
        let player = Player { client: &client, given: Vec::new(), deviations };
        let found = player.play(&Case::load(&path).unwrap()).unwrap();
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected = "a, call 2: GET /x\n  body\n    - {\"version\":\"{{version}}\"}\n    + []";
        assert_eq!(told, [expected]);
    }

    #[test]
    fn only_what_passes_by_itself_is_asked_again() {
        let answer = |status, message: &str| {
            let body = json!({"error_code": status, "message": message});
            Answer::new(status, std::collections::BTreeMap::new(), body.to_string().as_bytes())
        };
        let momentary = "Cannot complete request momentarily due to stale configuration";
        assert!(is_momentary(&answer(409, momentary)));
        assert!(is_momentary(&answer(
            500,
            "Request cannot be completed because a rebalance is expected"
        )));
        assert!(!is_momentary(&answer(404, momentary)));
        assert!(!is_momentary(&answer(409, "Connector a already exists")));
    }

    #[test]
    fn any_name_is_one_segment() {
        assert_eq!(encode("a-b_C9"), "a-b_C9");
        assert_eq!(encode("a b/ä%"), "a%20b%2F%C3%A4%25");
    }
}
