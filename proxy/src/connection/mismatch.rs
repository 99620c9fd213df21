//! Turns away a client that does not speak what its port is declared to: a port that is declared HTTP never becomes
//! opaque. Called by the connection, which counts it.

use std::time::Duration;

use rasp_policy::pod::PortProtocol;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::stream::Stream;

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// An empty SETTINGS, with which a server begins, and GOAWAY of PROTOCOL_ERROR (RFC 9113 sections 3.4 and 6.8).
const GOAWAY: &[u8] = &[
    0, 0, 0, 4, 0, 0, 0, 0, 0, //
    0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
];

/// Closing a socket with unread bytes resets it, and the client may never see why. So the rest is read, but not for
/// ever.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 << 10;

pub(super) async fn turn_away(mut client: Stream, declared: PortProtocol) {
    let answer = if declared == PortProtocol::Http2 { GOAWAY } else { BAD_REQUEST };
    let parting = async {
        client.write_all(answer).await?;
        client.shutdown().await?;
        tokio::io::copy(&mut client.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // It is turned away whether or not it listens.
    let _ = timeout(LINGER, parting).await;
}
