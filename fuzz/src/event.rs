//! What ends in a log: one line of JSON, whatever the client sent, without a control character and without payload.

use rasp_proxy::exchange::masked;

/// The first line is a method, the second one a path, the rest anything that gets into an event.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let (method, path) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if let Ok(method) = http::Method::from_bytes(method.as_bytes()) {
        assert!(masked::method(&method).len() <= 8, "a method of the client's own");
    }
    let masked = masked::path(path);
    assert!(masked.is_ascii() && masked.len() <= 512, "{masked:?}");
    assert!(!masked.chars().any(|c| c.is_control() || "\"\\<>&%' ".contains(c)), "{masked:?}");
    assert!(masked.split('/').all(|segment| segment.len() <= 32), "{masked:?} holds a token");
    let line = serde_json::to_string(&[masked.as_str(), lines.next().unwrap_or_default()]).expect("JSON");
    assert!(!line.bytes().any(|byte| byte < b' '), "{line:?} is more than one line");
}
