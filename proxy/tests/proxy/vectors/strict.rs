//! The third opinion on what reached an application: a parser as simple as can be, which takes nothing but the
//! canonical form, next to `httparse` and `http_desync_guardian`.

use http_desync_guardian::request_analyzer::HttpRequestData;
use http_desync_guardian::{ClassificationReason, RequestSafetyTier};

/// One request as the application must read it.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: Vec<u8>,
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// What one connection of the application received.
#[derive(Debug, Default)]
pub struct Received {
    pub requests: Vec<Request>,
    /// Bytes of a request that is not complete.
    pub partial: Vec<u8>,
}

/// Reads what an application received, with all parsers; panics where they do not agree or anything is not canonical.
pub fn read(mut bytes: &[u8]) -> Received {
    let mut received = Received::default();
    while !bytes.is_empty() {
        let Some((request, length)) = request(bytes) else {
            received.partial = bytes.to_vec();
            break;
        };
        others_agree(&request, bytes);
        received.requests.push(request);
        bytes = &bytes[length..];
    }
    received
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.windows(2).position(|two| two == b"\r\n")?;
    let (line, rest) = (&bytes[..at], &bytes[at + 2..]);
    let clean = line.iter().all(|byte| *byte >= b' ' && *byte != 0x7f || *byte == b'\t');
    assert!(clean, "a control byte: {}", line.escape_ascii());
    Some((line, rest))
}

fn request(bytes: &[u8]) -> Option<(Request, usize)> {
    let (first, mut rest) = line(bytes)?;
    let parts: Vec<&[u8]> = first.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else { panic!("{}", first.escape_ascii()) };
    assert!(matches!(version, b"HTTP/1.1" | b"HTTP/1.0"), "{}", first.escape_ascii());
    assert!(target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS"), "{}", first.escape_ascii());
    assert!(target.iter().all(u8::is_ascii_graphic), "{}", first.escape_ascii());
    let mut fields = Vec::new();
    loop {
        let (line, after) = line(rest)?;
        rest = after;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap();
        let name = std::str::from_utf8(&line[..colon]).unwrap().to_ascii_lowercase();
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
        fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
    let all = |name: &str| {
        fields.iter().filter(|(found, _)| found == name).map(|(_, value)| &value[..]).collect::<Vec<_>>()
    };
    assert!(all("host").len() == 1 || version == b"HTTP/1.0", "{fields:?}");
    let (body, rest) = match (&all("transfer-encoding")[..], &all("content-length")[..]) {
        ([], []) => (Vec::new(), rest),
        ([b"chunked"], []) => chunks(rest)?,
        ([], [length]) => {
            let text = std::str::from_utf8(length).unwrap();
            let number: usize = text.parse().unwrap();
            assert_eq!(number.to_string(), text, "not canonical");
            (rest.get(..number)?.to_vec(), &rest[number..])
        }
        framing => panic!("ambiguous: {framing:?}"),
    };
    let method = String::from_utf8(method.to_vec()).unwrap();
    Some((Request { method, target: target.to_vec(), fields, body }, bytes.len() - rest.len()))
}

fn chunks(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let (size, after) = line(rest)?;
        assert!(!size.is_empty() && size.iter().all(u8::is_ascii_hexdigit), "{}", size.escape_ascii());
        let size = usize::from_str_radix(std::str::from_utf8(size).unwrap(), 16).unwrap();
        if size == 0 {
            let (end, after) = line(after)?;
            assert!(end.is_empty(), "a trailer that nobody asked for: {}", end.escape_ascii());
            return Some((body, after));
        }
        body.extend_from_slice(after.get(..size)?);
        assert_eq!(after.get(size..size + 2)?, b"\r\n");
        rest = &after[size + 2..];
    }
}

fn others_agree(request: &Request, bytes: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 256];
    let mut theirs = httparse::Request::new(&mut headers);
    let head = theirs.parse(bytes).unwrap().unwrap();
    assert_eq!(theirs.method, Some(&request.method[..]));
    assert_eq!(theirs.path.map(str::as_bytes), Some(&request.target[..]));
    let fields: Vec<(String, Vec<u8>)> = theirs
        .headers
        .iter()
        .map(|field| (field.name.to_ascii_lowercase(), field.value.trim_ascii().to_vec()))
        .collect();
    assert_eq!(fields, request.fields);
    let judged = HttpRequestData::analyze_raw_request(&bytes[..head]);
    // A body of a GET has no defined meaning (RFC 9110 section 9.3.1), but where it ends is clear: the others say so.
    let body_of_get = matches!(
        judged.reason,
        ClassificationReason::UndefinedContentLengthSemantics
            | ClassificationReason::UndefinedTransferEncodingSemantics
    );
    assert!(
        judged.tier <= RequestSafetyTier::Acceptable || body_of_get,
        "{:?} {:?}: {}",
        judged.tier,
        judged.message,
        bytes[..head].escape_ascii()
    );
}
