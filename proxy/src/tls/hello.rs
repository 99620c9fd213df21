//! Reads the name that a client of TLS asks for (RFC 6066 section 3) from bytes that pass on to the application untouched.
//!
//! For the log only: the name is the client's word, and with an encrypted ClientHello not even that. It must never hold up,
//! change or end a connection, whatever the bytes are. Called by `connection` for TLS that ends in the application.

use std::time::Duration;

use bytes::BytesMut;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

/// A first message is under 2 KiB, or under 8 KiB with keys that resist quantum computers and a session to resume.
const MAX_BYTES: usize = 16 << 10;
/// For the rest of a first message whose beginning is there. What is no TLS after all waits no longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// The name, once the whole first message is in `ahead`, which is read further where it is not; `None` without one, and
/// where it does not come whole. What was read stays in `ahead`.
pub async fn name(stream: &mut (impl AsyncRead + Unpin), ahead: &mut BytesMut) -> Option<Box<str>> {
    timeout(PATIENCE, read(stream, ahead)).await.ok()?
}

async fn read(stream: &mut (impl AsyncRead + Unpin), ahead: &mut BytesMut) -> Option<Box<str>> {
    let (mut acceptor, mut seen) = (Acceptor::default(), 0);
    loop {
        while let Some(mut rest) = ahead.get(seen..).filter(|rest| !rest.is_empty()) {
            seen += acceptor.read_tls(&mut rest).ok().filter(|taken| *taken > 0)?;
            // It checks that the name is one of a host (RFC 1123), so no more than 253 harmless bytes.
            if let Some(accepted) = acceptor.accept().ok()? {
                return accepted.client_hello().server_name().map(|name| name.to_ascii_lowercase().into());
            }
        }
        if ahead.len() >= MAX_BYTES || stream.read_buf(ahead).await.ok()? == 0 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::BytesMut;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use tokio::io::AsyncWriteExt as _;

    use super::{MAX_BYTES, name};
    use crate::tls::provider;

    fn first_message(server: &str) -> Vec<u8> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let server = ServerName::try_from(server.to_owned()).unwrap();
        let mut bytes = Vec::new();
        ClientConnection::new(Arc::new(config), server).unwrap().write_tls(&mut bytes).unwrap();
        bytes
    }

    /// The name, and that nothing of what was read is lost.
    async fn told(pieces: &[&[u8]]) -> Option<Box<str>> {
        let (mut near, mut far) = tokio::io::duplex(64 << 10);
        let whole = pieces.concat();
        let (first, rest) = pieces.split_first().unwrap();
        let mut ahead = BytesMut::from(*first);
        let sending = async {
            for piece in rest {
                far.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(far);
        };
        let (told, ()) = tokio::join!(name(&mut near, &mut ahead), sending);
        assert!(whole.starts_with(&ahead), "bytes were changed");
        told
    }

    #[tokio::test]
    async fn the_name_is_found_however_the_first_message_is_cut() {
        let hello = first_message("Shop.Example");
        for size in [1, 2, 5, 6, 40, 200, hello.len()] {
            let pieces: Vec<&[u8]> = hello.chunks(size).collect();
            assert_eq!(told(&pieces).await.as_deref(), Some("shop.example"), "pieces of {size}");
        }
        // One handshake message in several records (RFC 8446 section 5.1).
        let records: Vec<u8> = hello[5..]
            .chunks(50)
            .flat_map(|part| [&[22, 3, 1, 0, u8::try_from(part.len()).unwrap()], part].concat())
            .collect();
        assert_eq!(told(&[&records]).await.as_deref(), Some("shop.example"));
        // What follows it is not looked at.
        assert_eq!(told(&[&[&hello[..], b"more"].concat()]).await.as_deref(), Some("shop.example"));
    }

    #[tokio::test]
    async fn what_has_no_name_has_none() {
        let hello = first_message("shop.example");
        assert_eq!(told(&[&first_message("192.0.2.1")]).await, None, "an address is not sent");
        assert_eq!(told(&[&hello[..hello.len() - 1]]).await, None, "the end is missing");
        assert_eq!(told(&[b"\x16\x03"]).await, None);
        assert_eq!(told(&[b"\x16\x03\x01\xff\xff", &vec![0; 20_000]]).await, None);
        let at = hello.windows(12).position(|window| window == b"shop.example").unwrap();
        for bad in
            [&b"shop\nexample"[..], b"shop\0example", b"shop example", b"<>op.example", b"sh..-example"]
        {
            let mut forged = hello.clone();
            forged[at..at + 12].copy_from_slice(bad);
            assert_eq!(told(&[&forged]).await, None, "{}", bad.escape_ascii());
        }
    }

    #[tokio::test]
    async fn a_first_message_without_end_is_not_kept_for_ever() {
        let records = [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 0x4000 - 4]].concat().repeat(4);
        let (mut near, mut far) = tokio::io::duplex(1 << 20);
        far.write_all(&records).await.unwrap();
        let mut ahead = BytesMut::with_capacity(4096);
        assert_eq!(name(&mut near, &mut ahead).await, None);
        assert!(ahead.len() < 2 * MAX_BYTES + 4096, "{} bytes", ahead.len());
    }

    #[tokio::test]
    async fn a_client_that_stops_in_the_middle_is_not_waited_for() {
        let (mut near, _far) = tokio::io::duplex(64);
        let mut ahead = BytesMut::from(&first_message("shop.example")[..20]);
        assert_eq!(name(&mut near, &mut ahead).await, None);
        assert_eq!(ahead.len(), 20);
    }
}
