//! `Content-Transfer-Encoding` of a part (RFC 2045 section 6): base64 and quoted-printable. RFC 7578 section 4.7 took it out
//! of forms; libraries that go back to mail still undo it. Called by [`super::multipart`].

use super::base64::LENIENT;
use super::percent::hex;
use crate::budget::Budget;
use crate::reason::Reason;
use base64::Engine as _;

/// What it says when it is undone; nothing where it changes nothing.
pub(super) fn undo(encoding: &[u8], bytes: &[u8], budget: &mut Budget) -> Result<Option<Vec<u8>>, Reason> {
    if encoding.eq_ignore_ascii_case(b"base64") {
        budget.decoded(bytes.len())?;
        let text: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        return Ok(LENIENT.decode(text).ok());
    }
    if encoding.eq_ignore_ascii_case(b"quoted-printable") {
        budget.decoded(bytes.len())?;
        return Ok(Some(quoted_printable(bytes)));
    }
    Ok(None)
}

fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return decoded,
            [b'=', b'\r', b'\n', rest @ ..] | [b'=', b'\n', rest @ ..] => rest,
            [b'=', high, low, rest @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                decoded.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                rest
            }
            [byte, rest @ ..] => {
                decoded.push(*byte);
                rest
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Limits;

    #[test]
    fn what_mail_encodes_is_decoded() {
        let rows: &[(&str, &str, Option<&str>)] = &[
            ("Base64", "MScgb3Ig\r\nMT0x", Some("1' or 1=1")),
            ("base64", "!", None),
            ("Quoted-Printable", "a=27b=\r\nc=zz=", Some("a'bc=zz=")),
            ("8bit", "a", None),
            ("", "a", None),
        ];
        for (encoding, bytes, expected) in rows {
            let mut budget = Budget::new(Limits::for_body(0));
            let found = undo(encoding.as_bytes(), bytes.as_bytes(), &mut budget).unwrap();
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{encoding} {bytes}");
        }
    }
}
