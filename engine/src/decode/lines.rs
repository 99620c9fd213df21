//! One JSON document a line: NDJSON, JSON Lines, and JSON text sequences (RFC 7464).

use super::{Visit, json};
use crate::reason::Reason;

pub(super) fn decode(bytes: &[u8], truncated: bool, visit: &mut dyn Visit) -> Result<(), Reason> {
    let mut lines = bytes.split(|byte| matches!(byte, b'\n' | 0x1E)).peekable();
    while let Some(line) = lines.next() {
        let line = line.trim_ascii();
        if !line.is_empty() {
            json::decode(line, truncated && lines.peek().is_none(), visit)?;
        }
    }
    Ok(())
}
