//! The wire guard against two other parsers: whatever it lets go on is read in the same way by httparse and by hyper,
//! and arrives the same in one piece as in many.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rasp_proxy::guard::Limits;
use rasp_proxy::guard::head::{Framing, digest};
use rasp_proxy::guard::request::{Requests, Step};
use tokio::io::AsyncWriteExt as _;

use super::{pieces, reader};

/// What goes on of a connection.
#[derive(Default)]
struct Passed {
    bytes: Vec<u8>,
    heads: usize,
    refused: bool,
}

fn follow(pieces: &[&[u8]]) -> Passed {
    let (mut guard, mut kept, mut passed) = (Requests::new(Limits::default()), Vec::new(), Passed::default());
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            match guard.look(&kept) {
                Step::More => break,
                Step::Drop(length) => drop(kept.drain(..length)),
                Step::Refuse(_) => {
                    passed.refused = true;
                    return passed;
                }
                Step::Pass(length, complete) => {
                    let Some(complete) = complete else {
                        passed.bytes.extend(kept.drain(..length));
                        continue;
                    };
                    let from = passed.bytes.len();
                    let head = &kept[..complete.length];
                    let mut says = complete.facts.digest;
                    if complete.rewrite.is_needed() {
                        says = complete.rewrite.write(head, &mut passed.bytes).unwrap_or(says);
                    } else {
                        passed.bytes.extend_from_slice(head);
                    }
                    agree(&passed.bytes[from..], &complete.facts.framing, complete.facts.fields, says);
                    passed.bytes.extend_from_slice(&kept[complete.length..length]);
                    passed.heads += 1;
                    kept.drain(..length);
                }
            }
        }
    }
    passed
}

/// A head as it goes on, read by httparse.
fn agree(head: &[u8], framing: &Framing, count: usize, says: u64) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(head);
    assert!(
        matches!(parsed, Ok(httparse::Status::Complete(length)) if length == head.len()),
        "{parsed:?}: {}",
        head.escape_ascii()
    );
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    assert_eq!(digest(method.as_bytes(), target.as_bytes()), says, "{method} {target}");
    assert_eq!(request.headers.len(), count, "{}", head.escape_ascii());
    let value = |name: &str| {
        let mut found = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        let first = found.next().map(|field| String::from_utf8_lossy(field.value).into_owned());
        assert!(found.next().is_none(), "{name} twice");
        first
    };
    let read = match (value("content-length"), value("transfer-encoding").as_deref()) {
        (None, None) => Framing::None,
        (Some(length), None) => Framing::Length(length.parse().expect("a length")),
        (None, Some("chunked")) => Framing::Chunked,
        other => panic!("{other:?}"),
    };
    let same = read == *framing || (read == Framing::Length(0) && *framing == Framing::None);
    assert!(same, "{read:?} is not {framing:?}: {}", head.escape_ascii());
    assert!(value("host").is_some() || request.version == Some(0), "no host: {}", head.escape_ascii());
}

/// Method, target and body of every request that hyper reads whole; whether it refused one.
fn hyper_reads(bytes: &[u8]) -> (Vec<(String, String, Vec<u8>)>, bool) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (server, mut client) = tokio::io::duplex(bytes.len().max(1) + 1024);
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let (parts, body) = request.into_parts();
            let target =
                parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string);
            if let Ok(body) = body.collect().await {
                let whole = (parts.method.to_string(), target, body.to_bytes().to_vec());
                seen.lock().expect("no panic").push(whole);
            }
            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
        }
    });
    let refused = runtime.block_on(async {
        let (reading, mut writing) = tokio::io::split(&mut client);
        let drain = async {
            let mut reading = reading;
            let _ = tokio::io::copy(&mut reading, &mut tokio::io::sink()).await;
        };
        let feed = async {
            let _ = writing.write_all(bytes).await;
            let _ = writing.shutdown().await;
        };
        let mut builder = hyper::server::conn::http1::Builder::new();
        let serving =
            builder.half_close(true).max_headers(128).serve_connection(TokioIo::new(server), service);
        let (served, (), ()) = tokio::join!(serving, feed, drain);
        served.is_err_and(|error| error.is_parse() || error.is_parse_too_large())
    });
    (std::mem::take(&mut *seen.lock().expect("no panic")), refused)
}

/// The first four bytes say where the rest is cut.
pub fn run(data: &[u8]) {
    let whole = follow(&[&data[data.len().min(4)..]]);
    let split = follow(&pieces(data));
    assert_eq!(whole.refused, split.refused, "pieces change the answer");
    assert!(split.bytes.starts_with(&whole.bytes), "pieces change the bytes");
    assert!(whole.refused || whole.bytes == split.bytes, "pieces change what goes on");
    let read = reader::requests(&split.bytes);
    assert_eq!(read.len(), split.heads, "httparse sees other requests: {}", split.bytes.escape_ascii());
    let (seen, refused) = hyper_reads(&split.bytes);
    // A connection that ends with a request has no next one, for hyper.
    let ended = read.iter().position(|request| request.last).map_or(read.len(), |last| last + 1);
    let whole: Vec<_> = read.iter().take(ended).filter(|request| request.whole).collect();
    assert!(!refused, "hyper refuses what goes on: {}", split.bytes.escape_ascii());
    assert_eq!(seen.len(), whole.len(), "hyper sees other requests: {}", split.bytes.escape_ascii());
    for (seen, read) in seen.iter().zip(whole) {
        assert_eq!(*seen, (read.method.clone(), read.target.clone(), read.body.clone()));
    }
}
