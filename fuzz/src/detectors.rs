//! Every tokeniser of every detector: one value in each part of a message that a value can be in.

use rasp_engine::{Body, Head};

use super::inspected::{inspected, post};

const MOST: usize = 2_048;

/// Every byte of it.
fn escaped(value: &[u8]) -> Vec<u8> {
    value.iter().flat_map(|byte| format!("%{byte:02X}").into_bytes()).collect()
}

fn get(target: &[u8], fields: &[(&str, &[u8])]) {
    let head = Head { method: "GET", target, content_type: None, content_encoding: None, fields: &fields };
    let length: usize = fields.iter().map(|(_, value)| 2 * value.len()).sum();
    inspected(&head, Body::Empty, Some(target.len() + length));
}

fn body(content_type: &str, bytes: &[u8]) {
    inspected(&post(content_type, None), Body::Complete(bytes), Some(bytes.len()));
}

/// The input is the value.
pub fn run(data: &[u8]) {
    let value = &data[..data.len().min(MOST)];
    let encoded = escaped(value);
    get(&[b"/".as_slice(), &encoded].concat(), &[]);
    get(&[b"/?q=".as_slice(), &encoded].concat(), &[]);
    get(&[b"/?".as_slice(), &encoded, b"=v"].concat(), &[]);
    for name in ["x-value", "user-agent"] {
        get(b"/", &[(name, value)]);
    }
    get(b"/", &[("cookie", &[b"a=".as_slice(), value].concat())]);
    body("application/x-www-form-urlencoded", &[b"q=".as_slice(), &encoded].concat());
    body("text/plain", value);
    let text = String::from_utf8_lossy(value);
    for document in [serde_json::json!({ "q": text }), serde_json::json!({ &*text: "v" })] {
        body("application/json", document.to_string().as_bytes());
    }
    let marked = text.replace('&', "&amp;").replace('<', "&lt;");
    body("text/xml", format!("<a b=\"c\">{marked}</a>").as_bytes());
    body("text/xml", value);
    let literal = serde_json::Value::from(&*text).to_string();
    body("application/graphql", format!("{{ f(a: {literal}) }}").as_bytes());
    let quoted: String = text.chars().filter(|char| !char.is_control() && *char != '"').collect();
    let part = format!("--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"{quoted}\"\r\n\r\n");
    body("multipart/form-data; boundary=b", &[part.as_bytes(), value, b"\r\n--b--\r\n"].concat());
    if let Ok(length) = u8::try_from(value.len())
        && length < 128
    {
        body("application/protobuf", &[&[0x0A, length], value].concat());
    }
}
