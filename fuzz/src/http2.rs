//! The fields of a request of HTTP/2: what goes on would be one request for a strict reader of HTTP/1 too, since most
//! applications make a request of HTTP/1 of it; and the frames around it are followed the same in one piece as in many.

use http::{Request, Version};
use rasp_proxy::exchange::read::http2::{check, complete};
use rasp_proxy::guard::Limits;
use rasp_proxy::guard::frames::{Budgets, FrameHead, Frames};
use std::time::Duration;

use super::pieces;

/// Lines: method, scheme, authority, target; then `name: value` each.
fn fields(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut text = || lines.next().map(|line| String::from_utf8_lossy(line).into_owned()).unwrap_or_default();
    let (method, scheme, authority, target) = (text(), text(), text(), text());
    // A pseudo field that is absent, which hyper allows for `:authority`.
    let uri = if authority.is_empty() { target } else { format!("{scheme}://{authority}{target}") };
    let mut builder = Request::builder().version(Version::HTTP_2).method(method.as_str()).uri(uri);
    for line in lines {
        let at = line.iter().skip(1).position(|byte| *byte == b':').map_or(line.len(), |at| at + 1);
        let (name, value) = line.split_at(at);
        builder = builder.header(name, value.strip_prefix(b": ").unwrap_or_default());
    }
    let Ok(request) = builder.body(()) else { return }; // hyper makes no request of it
    let (mut parts, ()) = request.into_parts();
    let limits = Limits::default();
    if check(&parts, &limits).is_err() {
        return;
    }
    if let Some(uri) = complete(&parts.uri, &parts.headers) {
        parts.uri = uri;
    }
    assert!(check(&parts, &limits).is_ok(), "what was completed is refused");
    let authority = parts.uri.authority().expect("one host at least");
    let target = parts.uri.path_and_query().map_or("*", |target| target.as_str());
    let mut head = format!("{} {target} HTTP/1.1\r\nhost: {authority}\r\n", parts.method).into_bytes();
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != http::header::HOST) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let mut read = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut read);
    let parsed = request.parse(&head);
    // `http` takes bytes in a target that httparse does not, and the other way round; both are one target.
    assert!(
        matches!(parsed, Ok(httparse::Status::Complete(length)) if length == head.len()),
        "{parsed:?}: {}",
        head.escape_ascii()
    );
    let hosts = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("host")).count();
    assert_eq!(hosts, 1, "{}", head.escape_ascii());
    assert!(!authority.as_str().contains('@'), "user information in {authority}");
    for field in request.headers.iter() {
        assert_eq!(field.value, field.value.trim_ascii(), "a padded value");
    }
}

/// All heads of frames, and how many of them the budgets take.
fn frames<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<FrameHead>, usize, usize) {
    let (mut follower, mut budgets, mut heads) = (Frames::default(), Budgets::default(), Vec::new());
    let (mut taken, mut length) = (None, 0);
    for piece in pieces {
        follower.follow(piece, |head| {
            if budgets.received(head, Duration::ZERO).is_some() {
                taken.get_or_insert(heads.len());
            }
            heads.push(head);
        });
        length += piece.len();
    }
    let needs: usize = heads.iter().map(|head| 9 + usize::try_from(head.length).expect("24 bits")).sum();
    assert_eq!(follower.is_between(), needs == length, "{heads:?} in {length} bytes");
    assert!(needs <= length || follower.rest() == needs - length, "{heads:?} in {length} bytes");
    let highest = heads.iter().filter(|head| head.kind == 1).map(|head| head.stream).max().unwrap_or(0);
    assert_eq!(budgets.last_stream(), highest);
    (heads, taken.unwrap_or(usize::MAX), follower.rest())
}

/// The first four bytes say where the frames are cut.
pub fn run(data: &[u8]) {
    fields(data);
    let rest = &data[data.len().min(4)..];
    let whole = frames([rest]);
    assert_eq!(whole, frames(pieces(data)), "pieces change what is followed");
    assert_eq!(whole, frames(rest.chunks(1)), "bytes change what is followed");
}
