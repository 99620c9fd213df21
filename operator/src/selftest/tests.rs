use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Answer, Error, run};
use crate::args::Test;

/// A server that answers ordinary requests and attacks with these lines.
async fn server(ordinary: &'static str, attack: &'static str) -> Test {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            let text = String::from_utf8_lossy(&request[..read]).into_owned();
            let answer = if text.contains("OR") { attack } else { ordinary };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    Test { target, path: "/livez".into(), blocked: 418, patience: Duration::ZERO }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const TEAPOT: &str = "HTTP/1.1 418 I'm a teapot\r\n\r\n";

#[tokio::test]
async fn an_application_is_protected_only_when_it_answers_and_its_attacker_is_blocked_as_the_policy_says() {
    let table = [
        (OK, TEAPOT, None),
        (OK, OK, Some(Error::NotBlocked(Answer::Status(200), 418))),
        // By something else than our policy, for example a firewall on the way.
        (OK, "HTTP/1.1 403 Forbidden\r\n\r\n", Some(Error::NotBlocked(Answer::Status(403), 418))),
        (OK, "", Some(Error::NotBlocked(Answer::None, 418))),
        (TEAPOT, TEAPOT, Some(Error::Ordinary(418))),
        ("", TEAPOT, Some(Error::Unreachable)),
        ("SSH-2.0-OpenSSH\r\n", TEAPOT, Some(Error::Unreachable)),
    ];
    for (ordinary, attack, expected) in table {
        let test = server(ordinary, attack).await;
        assert_eq!(run(&test).await.err(), expected, "{ordinary:?} {attack:?}");
    }
}

#[tokio::test]
async fn it_waits_until_the_application_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let test = Test {
        target: address.to_string(),
        path: "/".into(),
        blocked: 418,
        patience: Duration::from_secs(30),
    };
    let late = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let listener = TcpListener::bind(address).await.unwrap();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            let attack = String::from_utf8_lossy(&request[..read]).contains("OR");
            stream.write_all(if attack { TEAPOT } else { OK }.as_bytes()).await.unwrap();
        }
    };
    tokio::select! {
        found = run(&test) => assert!(found.unwrap().contains("418")),
        () = late => panic!("the server ended"),
    }
}
