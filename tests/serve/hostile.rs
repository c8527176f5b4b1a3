//! Goal: whatever is sent to the API, it answers with what is wrong, or cuts the connection, and a
//! pipeline beside it loses nothing.
//! Method: a busy pipeline; requests that are too large, malformed, of the wrong type, full of
//! tricks, and slow ones.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::process::{request, send};
use headwater_test_support::wait;

use crate::served::{Served, Site, pipeline, unique};
use crate::world::{PATIENCE, endless};

fn busy() -> Result<(Site, Served, String, ScriptedServer)> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut site = Site::new()?;
    let mut served = site.lead()?;
    let name = unique("calm");
    served.create(&pipeline(&name, server.endpoint()))?;
    served.wait_committed(&name, 300.0)?;
    Ok((site, served, name, server))
}

#[test]
fn what_cannot_be_meant_is_answered_with_what_is_wrong() -> Result<()> {
    let (_site, mut served, name, server) = busy()?;
    let long = "n".repeat(600);
    let deep = "[".repeat(100_000);
    let many = "a: 1\n".repeat(90_000);
    let nul = "pipeline: a\0b";
    let one = format!("/pipelines/{name}");
    let status = format!("{one}/status/");
    let cases: [(&str, &str, &str, u16); 34] = [
        ("GET", "/nothing", "", 404),
        ("GET", "/", "", 200),
        ("GET", "/pipelines/none", "", 404),
        ("GET", &status, "", 200),
        ("GET", "/pipelines/..%2f..%2fetc%2fpasswd", "", 404),
        ("GET", "/pipelines/%2e%2e", "", 400),
        ("GET", "/pipelines/../metrics", "", 400),
        ("GET", "/pipelines/a%00b", "", 400),
        ("GET", "/pipelines/%ff", "", 400),
        ("GET", "/pipelines/%", "", 400),
        ("GET", "/pipelines/%0d%0aSet-Cookie:a", "", 400),
        ("GET", &format!("/pipelines/{long}"), "", 400),
        ("GET", &format!("/{}", "p".repeat(4_000)), "", 414),
        ("GET", &format!("{one}/graph?format=exe"), "", 400),
        ("GET", &format!("{one}/graph?what=else"), "", 400),
        ("GET", &format!("{one}/tail?rate=0"), "", 400),
        ("GET", &format!("{one}/tail?rate=99999999999999999999"), "", 400),
        ("PATCH", &one, "", 405),
        ("POST", &one, "", 405),
        ("DELETE", "/pipelines", "", 405),
        ("TRACE", "/metrics", "", 405),
        ("PUT", &format!("{one}/explode"), "", 404),
        ("POST", "/pipelines", "", 400),
        ("POST", "/pipelines", "{", 400),
        ("POST", "/pipelines", "[1, 2, 3]", 400),
        ("POST", "/pipelines", "42", 400),
        ("POST", "/pipelines", "null", 400),
        ("POST", "/pipelines", r#"{"pipeline": 7, "sources": "none", "sinks": [null]}"#, 400),
        ("POST", "/pipelines", &deep, 400),
        ("POST", "/pipelines", &many, 400),
        ("POST", "/pipelines", nul, 400),
        ("POST", "/pipelines?initial_state=asleep", "pipeline: a", 400),
        ("PUT", "/pipelines/other", "pipeline: &a [*a, *a]", 400),
        ("PUT", &one, "pipeline: elsewhere", 400),
    ];
    for (method, path, body, expected) in cases {
        let answer = served.ask(method, path, body)?;
        let body = &body[..body.len().min(40)];
        ensure!(answer.status == expected, "{method} {path} {body}: {answer:?}");
        if expected >= 400 {
            let problem: serde_json::Value = serde_json::from_str(&answer.body)?;
            ensure!(problem["error_code"] == expected, "{method} {path}: {problem}");
            ensure!(problem["message"].as_str().is_some_and(|it| !it.is_empty()), "{problem}");
        }
    }
    let invalid = request(served.address(), "POST", "/pipelines", &[], b"\xff\xfe pipeline")?;
    ensure!(invalid.status == 400, "{invalid:?}");
    served.demand_exact(&name, server)?;
    Ok(())
}

#[test]
fn what_is_too_large_is_refused_before_it_is_kept() -> Result<()> {
    let (_site, mut served, name, server) = busy()?;
    let address = served.address();
    let huge = vec![b'#'; 3 << 20];
    let answer = request(address, "POST", "/pipelines", &[], &huge)?;
    ensure!(answer.status == 413, "{answer:?}");
    // A document that fits the body and not the topic.
    let document = format!("pipeline: big\n{}", "# a line of nothing\n".repeat(40_000));
    let answer = served.ask("PUT", "/pipelines/big", &document)?;
    ensure!(answer.status == 413, "{answer:?}");
    let header = "h".repeat(40_000);
    // Answered, or cut while it is still being sent.
    let refused = |headers: &[(&str, &str)]| {
        request(address, "GET", "/metrics", headers, b"").map_or(431, |it| it.status)
    };
    ensure!(refused(&[("X-Large", &header)]) == 431);
    let headers: Vec<String> = (0..200).map(|it| format!("X-{it}")).collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|it| (it.as_str(), "1")).collect();
    ensure!(refused(&headers) == 431);
    for raw in [
        &b"GARBAGE\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /pipelines HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\
          Content-Length: 2\r\n\r\nab",
        b"POST /pipelines HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
          nonsense\r\n",
        b"POST /pipelines HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    ] {
        // Answered with 400, or cut.
        if let Ok(answer) = send(address, raw) {
            ensure!(answer.status == 400, "{answer:?} to {}", String::from_utf8_lossy(raw));
        }
    }
    served.demand_exact(&name, server)?;
    Ok(())
}

/// Many that send one byte after the other, and never come to the end.
#[test]
fn slow_requests_end_and_hold_nobody_up() -> Result<()> {
    let (_site, mut served, name, server) = busy()?;
    let address = served.address();
    let began = Instant::now();
    let mut heads = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /pipelines HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")?;
        heads.push(stream);
    }
    let mut body = TcpStream::connect(address)?;
    body.write_all(b"POST /pipelines HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\np")?;
    served.demand("GET", "/pipelines", "", 200)?;
    let committed = served.committed(&name);
    served.wait_committed(&name, committed + 500.0)?;

    let mut answer = String::new();
    body.set_read_timeout(Some(PATIENCE))?;
    body.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    for mut stream in heads {
        stream.set_read_timeout(Some(Duration::from_millis(50)))?;
        wait::until("a slow request to be cut off", PATIENCE, || {
            // One more byte, so that no pause ends it.
            let _ = stream.write_all(b"x");
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(0) => true,
                Ok(_) => false,
                Err(error) => !matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ),
            }
        })?;
    }
    println!("all were cut off after {:?}", began.elapsed());
    served.demand("GET", "/pipelines", "", 200)?;
    served.demand_exact(&name, server)?;
    Ok(())
}

#[test]
fn who_asks_too_often_is_told_to_wait() -> Result<()> {
    let mut site = Site::new()?;
    let place = site.arguments.iter().position(|it| it == "100000").expect("the rate is given");
    site.arguments[place] = "5".to_owned();
    let served = site.start()?;
    wait::until("it to answer", PATIENCE, || {
        std::thread::sleep(Duration::from_millis(300));
        served.ask("GET", "/healthz", "").is_ok_and(|it| it.status == 200)
    })?;
    let answers: Vec<u16> = (0..40)
        .map(|_| served.ask("GET", "/healthz", "").map(|it| it.status))
        .collect::<Result<_>>()?;
    ensure!(
        answers.contains(&429) && answers.iter().all(|it| matches!(it, 200 | 429)),
        "{answers:?}"
    );
    Ok(())
}
