//! What may stand for a host: in `Host`, in an absolute target, in `:authority`. Pure.

/// `uri-host [ ":" port ]` (RFC 9110 section 7.2); a name may have any characters that cannot be mistaken for
/// something else in a URI or a list. Not empty: an `http` URI has a host (RFC 9110 section 4.2.1). No user
/// information (RFC 9110 section 4.2.4).
pub fn is_host(host: &[u8]) -> bool {
    let bracketed = host.first() == Some(&b'[');
    let (name, port) = if bracketed {
        match host.iter().position(|byte| *byte == b']') {
            Some(end) => (host.get(1..end), host.get(end + 1..)),
            None => return false,
        }
    } else {
        let colon = host.iter().position(|byte| *byte == b':').unwrap_or(host.len());
        (host.get(..colon), host.get(colon..))
    };
    let name_holds = name.is_some_and(|name| {
        !name.is_empty()
            && name.iter().all(|byte| is_name(*byte) || (bracketed && *byte == b':'))
            && are_escapes_whole(name)
    });
    name_holds && port.is_some_and(is_port)
}

/// Two hexadecimal digits follow every `%` (RFC 3986 section 2.1).
fn are_escapes_whole(name: &[u8]) -> bool {
    name.split(|byte| *byte == b'%')
        .skip(1)
        .all(|rest| rest.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

fn is_name(byte: u8) -> bool {
    NAME[usize::from(byte)]
}

/// Letters, digits and what else may be in a name.
const NAME: [bool; 256] = {
    let (others, mut table) = (b"-._~%!$&'()*+;=", [false; 256]);
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut other = 0;
    while other < others.len() {
        table[others[other] as usize] = true;
        other += 1;
    }
    table
};

/// Nothing, or `:` and a number of 16 bits, which may be left out (RFC 3986 section 3.2.3).
fn is_port(port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')) <= 0xffff
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn a_host_is_a_name_and_perhaps_a_port() {
        for host in [
            "a",
            "A-b.c_d",
            "a:",
            "a:80",
            "10.0.0.1:8080",
            "[::1]",
            "[fd00::1]:443",
            "xn--a",
            "a%20b",
            "a:65535",
        ] {
            assert!(is_host(host.as_bytes()), "{host:?}");
        }
        for host in [
            "", ":80", "[]", "[]:1", "a b", "a/b", "u@a", "a,b", "a:65536", "a:000080", "a:-1", "a:b",
            "a:1:2", "[::1", "::1", "[::1]x", "a?b", "a#b", "a\\b", "\u{e9}", "a\0", "a\t", "a%", "a%2",
            "a%zz", "%4",
        ] {
            assert!(!is_host(host.as_bytes()), "{host:?}");
        }
    }
}
