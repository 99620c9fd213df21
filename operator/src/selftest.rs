//! `rasp-operator test`, the client of `helm test`: asks an application in a protected namespace for something ordinary,
//! and attacks it. It passes when the first is answered and the second is blocked as the policy says, which takes an
//! injected sidecar that has the policy. It knows no Kubernetes: addresses come by the cluster's DNS.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::args::Test;

/// A SQL injection, of the class that is blocked with the highest confidence.
const ATTACK: &str = "?id=1%27%20OR%20%271%27=%271";
/// Longest wait for one answer.
const CALL: Duration = Duration::from_secs(5);
/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(1);
/// An answer's first line is all that is read.
const MAX_LINE: usize = 256;

/// What came back for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A response with this status.
    Status(u16),
    /// No connection, or no response in time.
    None,
}

/// What was seen in the last round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// For the ordinary request.
    pub ordinary: Answer,
    /// For the attack.
    pub attack: Answer,
}

/// The application is not protected as its policy says; the text says what to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing answers.
    #[error(
        "the application does not answer: look at its pods (kubectl describe), and at the events of its ReplicaSet if there are none"
    )]
    Unreachable,
    /// Something answers, but not as the application does.
    #[error(
        "an ordinary request was answered {0}, not 200: look at the logs of rasp-proxy and of the application"
    )]
    Ordinary(u16),
    /// The attack got no answer, or another one than a block.
    #[error("an attack was answered {0}, not {1}: there is no sidecar in the pod, or it has no policy yet")]
    NotBlocked(Answer, u16),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::None => f.write_str("by nothing"),
        }
    }
}

impl Seen {
    /// Whether the application is protected.
    fn judge(self, blocked: u16) -> Result<(), Error> {
        match (self.ordinary, self.attack) {
            (Answer::None, _) => Err(Error::Unreachable),
            (Answer::Status(200), Answer::Status(status)) if status == blocked => Ok(()),
            (Answer::Status(200), other) => Err(Error::NotBlocked(other, blocked)),
            (Answer::Status(status), _) => Err(Error::Ordinary(status)),
        }
    }
}

/// Asks until the application is protected, or patience ends; says what was seen.
pub async fn run(test: &Test) -> Result<String, Error> {
    let end = Instant::now() + test.patience;
    loop {
        let seen = Seen {
            ordinary: ask(&test.target, &test.path).await,
            attack: ask(&test.target, &format!("{}{ATTACK}", test.path)).await,
        };
        match seen.judge(test.blocked) {
            Ok(()) => {
                return Ok(format!(
                    "protected: an ordinary request was answered {}, an attack {}",
                    seen.ordinary, seen.attack
                ));
            }
            Err(error) if Instant::now() >= end => return Err(error),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// One request on a connection of its own.
async fn ask(target: &str, path: &str) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(target).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {target}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut line = Vec::new();
        while !line.contains(&b'\n') && line.len() < MAX_LINE {
            if stream.read_buf(&mut line).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(status(&line))
    };
    timeout(CALL, exchange).await.ok().and_then(Result::ok).flatten().map_or(Answer::None, Answer::Status)
}

fn status(line: &[u8]) -> Option<u16> {
    let mut words = std::str::from_utf8(line.split(|&byte| byte == b'\r').next()?).ok()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests;
