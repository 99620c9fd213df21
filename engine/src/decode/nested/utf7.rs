//! UTF-7 (RFC 2152): `+ADw-` is `<`. Taken for it only where it opens, decodes to printable ASCII and closes: nothing
//! else is written like that.

use super::super::base64;

/// The group at the start, which is at its `+`: its text, and its length. A longer one is no attack that anybody wrote.
pub(super) fn decode(rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let digits = rest.get(1..)?;
    let count = digits.iter().take(LONGEST).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    if count < 3 || digits.get(count) != Some(&b'-') {
        return None;
    }
    let mut units = Vec::new();
    base64::decode_into(digits.get(..count)?, &mut units)?;
    let ascii = |unit: &[u8]| match unit {
        [0, ascii @ 0x20..=0x7E] => Some(*ascii),
        _ => None,
    };
    Some((units.chunks(2).map(ascii).collect::<Option<_>>()?, 2 + count))
}

const LONGEST: usize = 64;
