//! A second reader of HTTP/1, written apart from the guard: httparse for heads, a few strict lines for bodies.

/// One request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub fields: usize,
    pub hosts: usize,
    pub body: Vec<u8>,
    pub whole: bool,
    /// Of HTTP/1.0.
    pub old: bool,
    /// No request follows it on the connection, for hyper.
    pub last: bool,
}

/// Whether hyper keeps the connection: it asks line after line whether one changes what was said before.
fn is_kept(lines: &[String], old: bool) -> bool {
    let says = |line: &str, word: &str| line.split(',').any(|member| member.trim() == word);
    lines.iter().fold(!old, |kept, line| if kept { !says(line, "close") } else { says(line, "keep-alive") })
}

/// The data of a body in chunks, and where it ends; `None` where it is none, or not complete.
pub fn chunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    let line = |at: usize| {
        let rest = bytes.get(at..)?;
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        Some((&rest[..end], at + end + 2))
    };
    loop {
        let (size, next) = line(at)?;
        let digits = size.split(|byte| *byte == b';').next()?;
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        at = next;
        if size == 0 {
            loop {
                let (field, next) = line(at)?;
                at = next;
                if field.is_empty() {
                    return Some((body, at));
                }
            }
        }
        body.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        at += size;
        if bytes.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
}

/// The requests that the bytes are. Panics on what is no request; the last one may be incomplete.
pub fn requests(bytes: &[u8]) -> Vec<Request> {
    let (mut requests, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 300];
        let mut head = httparse::Request::new(&mut fields);
        let parsed = head.parse(rest).unwrap_or_else(|error| panic!("{error}: {}", rest.escape_ascii()));
        let httparse::Status::Complete(length) = parsed else { break };
        let values = |name: &str| {
            let found = head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            found.map(|field| String::from_utf8_lossy(field.value).to_lowercase()).collect::<Vec<_>>()
        };
        let (lengths, encodings) = (values("content-length"), values("transfer-encoding"));
        assert!(lengths.len() + encodings.len() <= 1, "ambiguous: {}", rest[..length].escape_ascii());
        let after = &rest[length..];
        let body = if let Some(length) = lengths.first() {
            assert!(length.bytes().all(|byte| byte.is_ascii_digit()), "a length of {length:?}");
            let length: u64 = length.parse().expect("a length");
            let length = usize::try_from(length).expect("a length");
            after.get(..length).map(|body| (body.to_vec(), length))
        } else if let Some(encoding) = encodings.first() {
            assert_eq!(encoding, "chunked");
            chunked(after)
        } else {
            Some((Vec::new(), 0))
        };
        let old = head.version == Some(0);
        requests.push(Request {
            method: head.method.unwrap_or_default().to_owned(),
            target: head.path.unwrap_or_default().to_owned(),
            fields: head.headers.len(),
            hosts: values("host").len(),
            whole: body.is_some(),
            old,
            last: !is_kept(&values("connection"), old),
            body: body.as_ref().map(|body| body.0.clone()).unwrap_or_default(),
        });
        let Some((_, taken)) = body else { break };
        rest = &after[taken..];
    }
    requests
}
