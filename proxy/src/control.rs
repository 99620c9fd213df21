//! The Unix socket by which `rasp-proxy drain` reaches the running process. It takes one word and answers one word.
//!
//! It lies in a directory that only the sidecar mounts; whoever can write there could end the sidecar anyway.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rasp_policy::pod;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::drain::Drain;

/// Where the sidecar's socket is.
pub fn default_path() -> PathBuf {
    Path::new(pod::RUN_DIR).join("control.sock")
}

/// A request is one line: `drain` and the number of milliseconds it may take.
const MAX_REQUEST: u64 = 64;
const READ: Duration = Duration::from_secs(2);

/// Opens the socket, in place of one that a predecessor left.
pub fn bind(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers until the process ends.
pub async fn run(listener: std::os::unix::net::UnixListener, drain: Drain) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let drain = drain.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, drain).await {
                        tracing::warn!(%error, "control request failed");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "control socket failed to accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, drain: Drain) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut request = String::new();
    timeout(READ, read.take(MAX_REQUEST).read_to_string(&mut request)).await??;
    let millis = request.strip_prefix("drain ").and_then(|millis| millis.trim_end().parse().ok());
    let Some(millis) = millis else {
        return write.write_all(b"unknown request\n").await;
    };
    tracing::info!(in_flight = drain.in_flight(), "draining");
    let word: &[u8] =
        if drain.finish(Duration::from_millis(millis)).await { b"drained\n" } else { b"deadline\n" };
    write.write_all(word).await
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing is in flight any more.
    Finished,
    /// The time was up first.
    Deadline,
}

/// Why a drain could not be asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error("connect to {path}: {source}; is the sidecar running in this container?")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It broke off.
    #[error("ask the sidecar to drain: {0}")]
    Ask(#[from] io::Error),
    /// It did not understand.
    #[error("the sidecar does not know how to drain")]
    Unknown,
}

/// Asks a running process to drain and waits until it did.
pub fn drain(path: &Path, within: Duration) -> Result<Drained, Error> {
    let mut stream =
        Blocking::connect(path).map_err(|source| Error::Connect { path: path.to_owned(), source })?;
    stream.set_read_timeout(Some(within + READ))?;
    write!(stream, "drain {}", within.as_millis())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.take(MAX_REQUEST).read_to_string(&mut answer)?;
    match answer.trim_end() {
        "drained" => Ok(Drained::Finished),
        "deadline" => Ok(Drained::Deadline),
        _ => Err(Error::Unknown),
    }
}
