//! Servers that want work done, or do not answer: what one attempt may cost.

use super::*;
use headwater_operators::limits::{REFLECTION_IMPORTS_MAX, REFLECTION_PEERS_MAX};

/// A file whose endpoints are these.
fn file_of(urls: &[String]) -> String {
    let urls = urls.join(", ");
    let text = file("http://h:1", METHOD, REFLECTION);
    text.replace("endpoint: http://h:1", &format!("endpoints: [{urls}]"))
}

/// One attempt asks a few servers; the next one goes on behind them.
#[tokio::test]
async fn a_few_servers_are_asked_in_one_attempt_and_the_next_ones_in_the_next() {
    let mut servers = Vec::new();
    for _ in 0..REFLECTION_PEERS_MAX + 2 {
        servers.push(Server::scripted(|_, _| Err(Status::unavailable("not now"))).await);
    }
    let known = files();
    let last = Server::scripted(move |_, ask| Ok(answer(&known, ask))).await;
    let urls: Vec<String> =
        servers.iter().map(|it| it.url.clone()).chain([last.url.clone()]).collect();
    let question = question(&file_of(&urls));
    let error = inquiry(&question).types().await.expect_err("none of the first ones answers");
    assert!(error.may_heal, "{error}");
    let asked = || servers.iter().filter(|it| it.streams() > 0).count();
    assert_eq!(asked(), REFLECTION_PEERS_MAX);
    let learned = inquiry(&question).types().await.expect("the last one answers");
    assert_eq!(learned.server, last.url);
    assert_eq!(asked(), REFLECTION_PEERS_MAX + 2);
}

#[tokio::test]
async fn a_file_with_more_imports_than_people_write_is_refused() {
    let server = Server::scripted(|_, _| {
        let file = prost_types::FileDescriptorProto {
            name: Some("a.proto".to_owned()),
            dependency: (0..=REFLECTION_IMPORTS_MAX).map(|number| number.to_string()).collect(),
            ..Default::default()
        };
        Ok(Answer::Files(FilesAnswer { files: vec![file.encode_to_vec().into()] }))
    });
    let server = server.await;
    let question = question(&file(&server.url, METHOD, REFLECTION));
    let error = inquiry(&question).types().await.expect_err("too many");
    assert!(error.text.contains("more than 65536 imports") && !error.may_heal, "{error}");
}

/// Names that no service can have are not passed on to a person's terminal.
#[tokio::test]
async fn names_of_services_and_words_of_a_server_hold_no_control_characters() {
    let server = Server::scripted(|_, ask| match ask {
        Ask::Services(_) => {
            let names = ["shop.v1.Feed", "a\u{1b}[31m", "b\r\nc", ""];
            let services = names.map(|name| ServiceName { name: name.to_owned() }).to_vec();
            Ok(Answer::Services(ServicesAnswer { services }))
        }
        Ask::FileOfSymbol(_) => {
            let file = prost_types::FileDescriptorProto {
                name: Some("a.proto".to_owned()),
                dependency: vec!["b\u{1b}[31m".to_owned()],
                public_dependency: vec![0],
                message_type: vec![prost_types::DescriptorProto {
                    name: Some("M".to_owned()),
                    field: vec![prost_types::FieldDescriptorProto {
                        name: Some("x".to_owned()),
                        number: Some(1),
                        type_name: Some(".c\u{1b}[31m.D".to_owned()),
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            };
            Ok(Answer::Files(FilesAnswer { files: vec![file.encode_to_vec().into()] }))
        }
        Ask::File(_) => Ok(Answer::Error(ErrorAnswer { code: 5, message: String::new() })),
    });
    let server = server.await;
    let question = question(&file(&server.url, METHOD, REFLECTION));
    assert_eq!(inquiry(&question).services().await.expect("it lists"), ["shop.v1.Feed"]);
    let error = inquiry(&question).types().await.expect_err("they are not whole");
    assert!(!error.text.chars().any(char::is_control), "{:?}", error.text);
}
