//! Character references (HTML 13.2.5.72): those that attacks write by name, and numbers, with or without their semicolon.
//! Used by `decode::nested` and by the detector of cross-site scripting.

use crate::ascii;

/// The characters that attacks write by name. Without a semicolon a name of the old ones is a reference as well.
const NAMES: &[(&[u8], u8)] = &[
    (b"tab", b'\t'),
    (b"newline", b'\n'),
    (b"nbsp", b' '),
    (b"excl", b'!'),
    (b"quot", b'"'),
    (b"num", b'#'),
    (b"dollar", b'$'),
    (b"percnt", b'%'),
    (b"amp", b'&'),
    (b"apos", b'\''),
    (b"lpar", b'('),
    (b"rpar", b')'),
    (b"ast", b'*'),
    (b"plus", b'+'),
    (b"comma", b','),
    (b"period", b'.'),
    (b"sol", b'/'),
    (b"colon", b':'),
    (b"semi", b';'),
    (b"lt", b'<'),
    (b"equals", b'='),
    (b"gt", b'>'),
    (b"quest", b'?'),
    (b"commat", b'@'),
    (b"lsqb", b'['),
    (b"lbrack", b'['),
    (b"bsol", b'\\'),
    (b"rsqb", b']'),
    (b"rbrack", b']'),
    (b"hat", b'^'),
    (b"lowbar", b'_'),
    (b"diacriticalgrave", b'`'),
    (b"grave", b'`'),
    (b"lcub", b'{'),
    (b"lbrace", b'{'),
    (b"verbar", b'|'),
    (b"vert", b'|'),
    (b"rcub", b'}'),
    (b"rbrace", b'}'),
];

/// The reference at the start: its character, its length, and whether it is a number.
pub(crate) fn reference(rest: &[u8]) -> Option<(u32, usize, bool)> {
    let [b'&', rest @ ..] = rest else { return None };
    if let [b'#', rest @ ..] = rest {
        let (radix, digits, skip) = match rest {
            [b'x' | b'X', digits @ ..] => (16, digits, 3),
            digits => (10, digits, 2),
        };
        let length =
            digits.iter().take(LONGEST_NUMBER).take_while(|byte| char::from(**byte).is_digit(radix)).count();
        let digits = digits.get(..length).filter(|digits| !digits.is_empty())?;
        let code = digits.iter().fold(0_u32, |code, digit| {
            code.wrapping_mul(radix).wrapping_add(char::from(*digit).to_digit(radix).unwrap_or(0))
        });
        let semicolon = rest.get(skip - 2 + length) == Some(&b';');
        return Some((code, skip + length + usize::from(semicolon), true));
    }
    let length = rest.iter().take(20).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let name = rest.get(..length)?;
    let closed = rest.get(length) == Some(&b';');
    let (known, byte) = NAMES.iter().find(|(known, _)| {
        name.eq_ignore_ascii_case(known)
            || (known.len() <= 4 && matches!(*known, b"lt" | b"gt" | b"amp" | b"quot" | b"nbsp"))
                && ascii::starts(name, known)
    })?;
    Some((u32::from(*byte), 1 + known.len() + usize::from(closed && known.len() == length), false))
}

/// Zeros in front are allowed, and filters are counted on to miss them.
const LONGEST_NUMBER: usize = 12;
