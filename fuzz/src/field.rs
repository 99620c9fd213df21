//! A field line: what the guard takes, httparse takes, and reads in the same way.

use rasp_proxy::guard::Limits;
use rasp_proxy::guard::field::parse;
use rasp_proxy::guard::line::{control, is_control};

pub fn run(line: &[u8]) {
    for from in [0, 1, 5, line.len() / 2] {
        let rest = line.get(from..).unwrap_or_default();
        let slowly = rest.iter().position(|byte| is_control(*byte)).map(|at| from + at);
        assert_eq!(control(line, from), slowly, "from {from}");
    }
    if control(line, 0).is_some() {
        return; // refused while the end of the line is looked for
    }
    let Ok(field) = parse(line, &Limits::default()) else { return };
    let head = [b"GET / HTTP/1.1\r\n", line, b"\r\n\r\n"].concat();
    let mut fields = [httparse::EMPTY_HEADER; 4];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(&head);
    assert!(matches!(parsed, Ok(httparse::Status::Complete(length)) if length == head.len()), "{parsed:?}");
    assert_eq!(request.headers.len(), 1);
    assert_eq!(request.headers[0].name.as_bytes(), field.name);
    assert_eq!(request.headers[0].value.trim_ascii(), field.value.trim_ascii());
    assert!(http::HeaderValue::from_bytes(field.value).is_ok());
}
