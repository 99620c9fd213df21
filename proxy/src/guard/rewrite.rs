//! Writes a head anew where it must not go on as it came: the target, the host, the value that frames the body.
//!
//! Every other byte stays. Rare, so it may allocate.

use super::head::digest;
use super::target::{self, Form};

/// Some bytes of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first one.
    pub from: usize,
    /// The one after the last.
    pub to: usize,
}

impl Span {
    /// The bytes.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.from..self.to).unwrap_or_default()
    }
}

/// The canonical value of a framing field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of `Content-Length`, in decimal without leading zeros.
    Length(u64),
    /// Of `Transfer-Encoding`, in lower case.
    Chunked,
}

/// What of a head must be written differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// The target, which goes on in origin form and encoded.
    pub target: Option<(Span, Form)>,
    /// The host of an absolute target, where the head has no `Host`.
    pub host: Option<Span>,
    /// The value of the field that frames the body.
    pub value: Option<(Span, Value)>,
}

impl Rewrite {
    /// Whether anything must.
    pub fn is_needed(&self) -> bool {
        self.target.is_some() || self.value.is_some()
    }

    /// Writes the head, and says what its [`digest`] is now, if that changed.
    pub fn write(&self, head: &[u8], out: &mut Vec<u8>) -> Option<u64> {
        let mut done = 0;
        let mut changed = None;
        if let Some((span, form)) = self.target {
            out.extend_from_slice(head.get(..span.from).unwrap_or_default());
            let from = out.len();
            target::write(span.of(head), form, out);
            let method = head.get(..span.from.saturating_sub(1)).unwrap_or_default();
            changed = Some(digest(method, out.get(from..).unwrap_or_default()));
            done = span.to;
            if let Some(host) = self.host {
                let version = " HTTP/1.0\r\n".len();
                out.extend_from_slice(head.get(done..done + version).unwrap_or_default());
                done += version;
                out.extend_from_slice(b"Host: ");
                out.extend_from_slice(host.of(head));
                out.extend_from_slice(b"\r\n");
            }
        }
        if let Some((span, value)) = self.value {
            out.extend_from_slice(head.get(done..span.from).unwrap_or_default());
            match value {
                Value::Length(length) => out.extend_from_slice(length.to_string().as_bytes()),
                Value::Chunked => out.extend_from_slice(b"chunked"),
            }
            done = span.to;
        }
        out.extend_from_slice(head.get(done..).unwrap_or_default());
        changed
    }
}
