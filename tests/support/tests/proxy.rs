//! Goal: the proxy does what its rules say to the frames they name, and nothing to the others.
//! Method: a broker of a few lines that answers every request with its own body, and keeps what it
//! was sent; a client that reads and writes frames by hand.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use headwater_test_support::proxy::{Api, Bound, KafkaProxy, Rule, Traffic};
use headwater_test_support::wait;

const PATIENCE: Duration = Duration::from_secs(10);

/// So long a client listens for what must not come.
const SILENCE: Duration = Duration::from_millis(200);

/// What the broker was sent: the body of each request.
type Log = Arc<Mutex<Vec<String>>>;

struct World {
    proxy: KafkaProxy,
    log: Log,
}

struct Client(TcpStream);

impl World {
    fn new() -> Result<World> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (broker, log) = (listener.local_addr()?, Log::default());
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let log = Arc::clone(&kept);
                std::thread::spawn(move || echo(socket, &log));
            }
        });
        Ok(World { proxy: Bound::new()?.forward_to(broker), log })
    }

    fn client(&self) -> Result<Client> {
        let address: SocketAddr = self.proxy.bootstrap().parse()?;
        Ok(Client(TcpStream::connect(address)?))
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().expect("no holder of the log panics").clone()
    }
}

/// Answers each request with its body, until the client ends.
fn echo(mut socket: TcpStream, log: &Log) {
    while let Ok(request) = read_frame(&mut socket) {
        let body = &request[10..];
        let text = String::from_utf8_lossy(body).into_owned();
        log.lock().expect("no holder of the log panics").push(text);
        let answer = [&request[4..8], body].concat();
        if write_frame(&mut socket, &answer).is_err() {
            return;
        }
    }
}

fn read_frame(socket: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut frame)?;
    Ok(frame)
}

fn write_frame(socket: &mut TcpStream, frame: &[u8]) -> std::io::Result<()> {
    socket.write_all(&(frame.len() as u32).to_be_bytes())?;
    socket.write_all(frame)
}

impl Client {
    fn send(&mut self, api: Api, correlation: i32, body: &str) -> Result<()> {
        let head = [&api.0.to_be_bytes()[..], &[0, 1], &correlation.to_be_bytes(), &[0xff, 0xff]];
        Ok(write_frame(&mut self.0, &[&head.concat(), body.as_bytes()].concat())?)
    }

    /// The next answer: its correlation id and its body.
    fn answer(&mut self) -> Result<(i32, String)> {
        self.0.set_read_timeout(Some(PATIENCE))?;
        let frame = read_frame(&mut self.0)?;
        let correlation = i32::from_be_bytes(frame[..4].try_into()?);
        Ok((correlation, String::from_utf8_lossy(&frame[4..]).into_owned()))
    }

    fn demand_silence(&mut self) -> Result<()> {
        self.0.set_read_timeout(Some(SILENCE))?;
        let error = read_frame(&mut self.0).expect_err("nothing may come");
        ensure!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        Ok(())
    }

    fn demand_end(&mut self) -> Result<()> {
        self.0.set_read_timeout(Some(PATIENCE))?;
        let error = read_frame(&mut self.0).expect_err("the connection ends");
        ensure!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        Ok(())
    }
}

fn answer(correlation: i32, body: &str) -> (i32, String) {
    (correlation, body.to_owned())
}

#[test]
fn without_a_rule_everything_passes_and_is_counted() -> Result<()> {
    let world = World::new()?;
    let mut client = world.client()?;
    let large = "x".repeat(1 << 20);
    client.send(Api::PRODUCE, 1, &large)?;
    client.send(Api::END_TXN, 2, "two")?;
    assert_eq!(client.answer()?, answer(1, &large));
    assert_eq!(client.answer()?, answer(2, "two"));
    assert_eq!(world.log(), [large.as_str(), "two"]);
    let (request, answer) = (4 + 10 + 3, 4 + 4 + 3);
    let expected = Traffic { requests: 1, answers: 1, lost: 0, bytes: request + answer };
    assert_eq!(world.proxy.traffic(Api::END_TXN), expected);
    assert_eq!(world.proxy.traffic(Api::PRODUCE).requests, 1);
    assert_eq!(world.proxy.traffic(Api::FETCH), Traffic::default());
    Ok(())
}

#[test]
fn a_dropped_request_does_not_arrive_and_its_connection_goes_on() -> Result<()> {
    let world = World::new()?;
    let mut client = world.client()?;
    let dropped = world.proxy.add(Rule::requests(Api::END_TXN).nth(2..=2).drop());
    for correlation in 1..=3 {
        client.send(Api::END_TXN, correlation, &correlation.to_string())?;
    }
    assert_eq!([client.answer()?, client.answer()?], [answer(1, "1"), answer(3, "3")]);
    assert_eq!((world.log(), dropped.hits()), (vec!["1".to_owned(), "3".to_owned()], 1));
    assert_eq!(world.proxy.traffic(Api::END_TXN).lost, 1);
    Ok(())
}

#[test]
fn a_dropped_answer_is_one_whose_request_did_arrive() -> Result<()> {
    let world = World::new()?;
    let mut client = world.client()?;
    let dropped = world.proxy.add(Rule::answers(Api::END_TXN).nth(1..=1).drop());
    client.send(Api::END_TXN, 1, "1")?;
    dropped.wait(1, PATIENCE)?;
    client.demand_silence()?;
    client.send(Api::END_TXN, 2, "2")?;
    assert_eq!(client.answer()?, answer(2, "2"));
    assert_eq!(world.log(), ["1", "2"]);
    let Traffic { requests, answers, lost, .. } = world.proxy.traffic(Api::END_TXN);
    assert_eq!((requests, answers, lost), (2, 1, 1));
    Ok(())
}

#[test]
fn a_doubled_request_arrives_twice_and_is_answered_once() -> Result<()> {
    let world = World::new()?;
    let mut client = world.client()?;
    let doubled = world.proxy.add(Rule::requests(Api::END_TXN).duplicate());
    client.send(Api::END_TXN, 1, "1")?;
    assert_eq!(client.answer()?, answer(1, "1"));
    wait::until("both answers", PATIENCE, || doubled.answers().len() == 2)?;
    client.demand_silence()?;
    assert_eq!(world.log(), ["1", "1"]);
    Ok(())
}

#[test]
fn a_held_request_and_what_is_behind_it_wait_for_their_release() -> Result<()> {
    let world = World::new()?;
    let (mut client, mut other) = (world.client()?, world.client()?);
    let held = world.proxy.add(Rule::requests(Api::END_TXN).nth(1..=1).hold());
    client.send(Api::END_TXN, 1, "held")?;
    client.send(Api::PRODUCE, 2, "behind")?;
    held.wait(1, PATIENCE)?;
    other.send(Api::END_TXN, 3, "other")?;
    assert_eq!(other.answer()?, answer(3, "other"));
    client.demand_silence()?;
    assert_eq!(world.log(), ["other"]);
    held.release();
    assert_eq!([client.answer()?, client.answer()?], [answer(1, "held"), answer(2, "behind")]);
    Ok(())
}

#[test]
fn a_held_request_arrives_although_its_client_has_gone() -> Result<()> {
    let world = World::new()?;
    let mut client = world.client()?;
    let held = world.proxy.add(Rule::requests(Api::END_TXN).hold());
    client.send(Api::END_TXN, 1, "late")?;
    held.wait(1, PATIENCE)?;
    drop(client);
    assert_eq!(world.log(), [""; 0]);
    held.release();
    assert_eq!(held.wait_answer(PATIENCE)?.body(), b"late");
    assert_eq!(world.log(), ["late"]);
    Ok(())
}

#[test]
fn a_held_answer_waits_for_its_release() -> Result<()> {
    let world = World::new()?;
    let mut client = world.client()?;
    let held = world.proxy.add(Rule::answers(Api::END_TXN).hold());
    client.send(Api::END_TXN, 1, "1")?;
    held.wait(1, PATIENCE)?;
    client.demand_silence()?;
    assert_eq!(world.log(), ["1"]);
    held.release();
    assert_eq!(client.answer()?, answer(1, "1"));
    Ok(())
}

#[test]
fn a_rule_that_only_counts_leaves_the_frame_to_the_others() -> Result<()> {
    let world = World::new()?;
    let mut client = world.client()?;
    let counted = world.proxy.add(Rule::requests(Api::END_TXN));
    let dropped = world.proxy.add(Rule::requests(Api::END_TXN).nth(1..=1).drop());
    client.send(Api::END_TXN, 1, "1")?;
    client.send(Api::END_TXN, 2, "2")?;
    assert_eq!(client.answer()?, answer(2, "2"));
    assert_eq!((counted.hits(), dropped.hits()), (2, 1));
    Ok(())
}

#[test]
fn a_cut_ends_the_connection_before_or_behind_the_broker() -> Result<()> {
    let world = World::new()?;
    let cut =
        world.proxy.add(Rule::requests(Api::END_TXN).of(|it| it.request.body() == b"1").cut());
    let mut client = world.client()?;
    client.send(Api::END_TXN, 1, "1")?;
    client.demand_end()?;
    assert_eq!((world.log(), cut.hits()), (Vec::new(), 1));

    let cut = world.proxy.add(Rule::answers(Api::END_TXN).nth(1..=1).cut());
    let mut client = world.client()?;
    client.send(Api::END_TXN, 2, "2")?;
    client.demand_end()?;
    assert_eq!((world.log(), cut.hits()), (vec!["2".to_owned()], 1));
    Ok(())
}

#[test]
fn all_connections_can_be_cut_and_new_ones_are_taken() -> Result<()> {
    let world = World::new()?;
    let mut client = world.client()?;
    client.send(Api::END_TXN, 1, "1")?;
    client.answer()?;
    world.proxy.cut_all();
    client.demand_end()?;
    let mut next = world.client()?;
    next.send(Api::END_TXN, 2, "2")?;
    assert_eq!(next.answer()?, answer(2, "2"));
    Ok(())
}
