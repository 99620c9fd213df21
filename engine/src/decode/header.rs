//! Fields of a head (RFC 9110 section 5) as applications read them: the cookies of `Cookie` (RFC 6265), user and password
//! of `Authorization` (RFC 7617), path and query of `Referer`, everything else as one value.
//!
//! Fields that end at the proxy are left out by name; those that a browser writes are left out where they look as a
//! browser writes them, so that an ordinary request pays one glance at each. Never allocates for those.

use base64::Engine as _;

use super::base64::LENIENT;
use super::{Field, Visit, pairs, parameters, percent};
use crate::ascii;
use crate::finding::Part;
use crate::lookup::Lookup;
use crate::message::Fields;
use crate::reason::Reason;

/// How a field is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It ends at the proxy, or was checked there: nothing of it reaches an application.
    Ours,
    /// Tokens and parameters: ordinary where it has nothing but their bytes.
    Tokens,
    Agent,
    Address,
    Cookie,
    Authorization,
    Disposition,
    Value,
}

/// Yields the values of all fields.
pub(super) fn decode(fields: &dyn Fields, visit: &mut dyn Visit) -> Result<(), Reason> {
    fields.each(&mut |name, value| match kind(name) {
        Kind::Ours => Ok(()),
        Kind::Tokens if are_tokens(name, value) => Ok(()),
        Kind::Agent if is_browser(value) => Ok(()),
        Kind::Tokens | Kind::Agent | Kind::Value => field(name, value, visit),
        Kind::Address => address(name, value, visit),
        Kind::Cookie => cookies(value, visit),
        Kind::Authorization => authorization(name, value, visit),
        Kind::Disposition => disposition(name, value, visit),
    })
}

fn kind(name: &[u8]) -> Kind {
    let is = |known: &[&str]| known.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    let starts = |known: &[u8]| ascii::starts(name, known);
    match name.first().map_or(0, u8::to_ascii_lowercase) {
        b'a' if starts(b"accept") || starts(b"access-control-") => Kind::Tokens,
        b'a' if is(&["authorization"]) => Kind::Authorization,
        b'c' if is(&["cookie"]) => Kind::Cookie,
        b'c' if is(&["connection", "content-length"]) => Kind::Ours,
        b'c' if is(&["content-disposition"]) => Kind::Disposition,
        b'c' if starts(b"content-") || is(&["cache-control"]) => Kind::Tokens,
        b'd' if is(&["date", "dnt", "device-memory", "downlink", "dpr"]) => Kind::Tokens,
        b'e' if is(&["expect"]) => Kind::Ours,
        b'e' if is(&["ect"]) => Kind::Tokens,
        b'h' if is(&["http2-settings"]) => Kind::Ours,
        b'i' if starts(b"if-") => Kind::Tokens,
        b'k' if is(&["keep-alive"]) => Kind::Ours,
        b'o' if is(&["origin"]) => Kind::Address,
        b'p' if is(&["proxy", "proxy-connection"]) => Kind::Ours,
        b'p' if is(&["proxy-authorization"]) => Kind::Authorization,
        b'p' if is(&["pragma", "priority", "purpose"]) => Kind::Tokens,
        b'r' if is(&["referer", "referrer"]) => Kind::Address,
        b'r' if is(&["range", "rtt"]) => Kind::Tokens,
        b's' if starts(b"sec-") || is(&["save-data"]) => Kind::Tokens,
        b't' if is(&["te", "transfer-encoding", "trailer"]) => Kind::Ours,
        b'u' if is(&["user-agent"]) => Kind::Agent,
        b'u' if starts(b"upgrade") => Kind::Tokens,
        b'x' if is(&["x-original-url", "x-rewrite-url"]) => Kind::Address,
        _ => Kind::Value,
    }
}

/// A field in the head of a part of a body.
pub(super) fn part_field(name: &[u8], value: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    if are_tokens(name, value) { Ok(()) } else { field(name, value, visit) }
}

fn field(name: &[u8], value: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    pairs::text(&Field { part: Part::Header, name, value }, visit)
}

/// The name of a file whose bytes are the body (RFC 6266 section 4.3): some interfaces take uploads like that.
fn disposition(name: &[u8], value: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    for file in parameters::values(value, b"filename") {
        pairs::text(&Field { part: Part::FileName, name, value: &file }, visit)?;
    }
    if are_tokens(name, value) { Ok(()) } else { field(name, value, visit) }
}

/// Whether a value has the bytes of tokens, quoted words, dates and weights alone, and is no path that climbs. Names of
/// browsers have brackets to keep servers from guessing (`"(Not(A:Brand";v="8"`).
fn are_tokens(name: &[u8], value: &[u8]) -> bool {
    let brackets = matches!(name, [b's' | b'S', ..]);
    let seen = TOKENS.all(value);
    let climbs = || memchr::memchr_iter(b'.', value).any(|at| value.get(at + 1) == Some(&b'.'));
    seen & ODD == 0 && (brackets || seen & BRACKET == 0) && (seen & DOT == 0 || !climbs())
}

const ODD: u8 = 1;
const BRACKET: u8 = 2;
const DOT: u8 = 4;

static TOKENS: Lookup<u8> = Lookup::sorted(
    ODD,
    &[
        (b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 \t,;:=*/+?\"@_~-&", 0),
        (b"()", BRACKET),
        (b".", DOT),
    ],
);

/// What comments of browsers have.
static COMMENT: Lookup<u8> =
    Lookup::sorted(ODD, &[(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ./;:,_+-", 0)]);

/// What addresses have (RFC 3986 section 2).
static ADDRESS: Lookup<u8> = Lookup::sorted(
    ODD,
    &[(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'()*+,-./:;=?@[]_~", 0)],
);

/// Whether this is how browsers name themselves: products with versions, and comments that hold no bracket of their own
/// (RFC 9110 section 10.1.5). A shell takes a bracket behind a word for an error, and SQL without a quote that is no
/// number for a name, so that nothing in a comment can run.
fn is_browser(value: &[u8]) -> bool {
    let Some(mut rest) = value.strip_prefix(b"Mozilla/5.0 (") else { return false };
    let mut in_comment = true;
    loop {
        if in_comment {
            let Some(length) = rest.iter().position(|byte| matches!(byte, b'(' | b')')) else { return false };
            let (comment, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            // A scanner that writes its name as crawlers do.
            if comment.starts_with(b"compatible; Nmap") {
                return false;
            }
            if COMMENT.all(comment) != 0 || comment.windows(2).any(|two| two == b".." || two == b"--") {
                return false;
            }
            let Some(behind) = behind.strip_prefix(b")") else { return false };
            rest = behind;
            in_comment = false;
            continue;
        }
        let Some(behind) = rest.strip_prefix(b" ") else { return rest.is_empty() };
        if let Some(behind) = behind.strip_prefix(b"(") {
            rest = behind;
            in_comment = true;
            continue;
        }
        let length = behind.iter().position(|byte| *byte == b' ').unwrap_or(behind.len());
        let (product, behind) = behind.split_at_checked(length).unwrap_or((behind, &[]));
        if !is_product(product) {
            return false;
        }
        rest = behind;
    }
}

fn is_product(word: &[u8]) -> bool {
    let part = |part: &[u8]| {
        !part.is_empty() && part.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
    };
    let mut parts = word.splitn(2, |byte| *byte == b'/');
    match (parts.next(), parts.next()) {
        (Some(name), Some(version)) => part(name) && part(version) && !version.starts_with(b"."),
        _ => [&b"like"[..], b"Gecko", b"Mobile", b"Safari"].contains(&word),
    }
}

/// The path and the query of an address, or all of what is no address. The host was no parameter of anything.
fn address(name: &[u8], value: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    let host = match value.windows(3).take(12).position(|three| three == b"://") {
        Some(scheme) => scheme + 3,
        None if value.starts_with(b"/") => 0,
        None => return field(name, value, visit),
    };
    // What no address can hold was not written by a browser.
    if ADDRESS.all(value) != 0 {
        field(name, value, visit)?;
    }
    let rest = value.get(host..).unwrap_or_default();
    let path = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = rest.get(..path).unwrap_or_default();
    if authority.iter().any(|byte| !byte.is_ascii_alphanumeric() && !b".-:[]".contains(byte)) {
        field(name, value, visit)?;
    }
    let mut halves = rest.get(path..).unwrap_or_default().splitn(2, |byte| matches!(byte, b'?' | b'#'));
    let mut buffer = Vec::new();
    let path = percent::decode(halves.next().unwrap_or_default(), false, &mut buffer);
    field(name, path, visit)?;
    for piece in halves.next().unwrap_or_default().split(|byte| matches!(byte, b'&' | b'#' | b'?')) {
        for half in piece.splitn(2, |byte| *byte == b'=') {
            field(name, percent::decode(half, true, &mut buffer), visit)?;
        }
    }
    Ok(())
}

/// Names and values, as they came and percent-decoded: PHP decodes them as it decodes a query.
fn cookies(value: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    let mut buffer = Vec::new();
    for pair in value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()) {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = halves.next().unwrap_or_default();
        let Some(value) = halves.next() else {
            pairs::text(&Field { part: Part::Cookie, name: b"", value: pair }, visit)?;
            continue;
        };
        // Names of classes have dots, and few names of cookies.
        if name.iter().any(|byte| !byte.is_ascii_alphanumeric() && !b"_-".contains(byte)) {
            let name = percent::decode(name, true, &mut buffer);
            pairs::text(&Field { part: Part::Cookie, name: b"", value: name }, visit)?;
        }
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        let decoded = percent::decode(value, false, &mut buffer);
        pairs::text(&Field { part: Part::Cookie, name, value: decoded }, visit)?;
        let is_odd = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"+/=_.%-".contains(byte);
        if decoded.contains(&b'+') && decoded.iter().any(is_odd) {
            let spaced = percent::decode(value, true, &mut buffer);
            pairs::text(&Field { part: Part::Cookie, name, value: spaced }, visit)?;
        }
    }
    Ok(())
}

/// User and password, parameters of a scheme, or all of what is no token.
fn authorization(name: &[u8], value: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    let scheme = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(scheme).unwrap_or((value, &[]));
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"basic") {
        visit.budget().decoded(rest.len())?;
        if let Ok(credentials) = LENIENT.decode(rest) {
            for half in credentials.splitn(2, |byte| *byte == b':') {
                field(name, half, visit)?;
            }
            return Ok(());
        }
    }
    // The object in base64 that a JSON Web Token begins with: applications read what it claims before they check it.
    if scheme.eq_ignore_ascii_case(b"bearer") && rest.starts_with(b"eyJ") {
        return field(name, rest, visit);
    }
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=:".contains(byte);
    if scheme.iter().all(is_token) && rest.iter().all(is_token) {
        return Ok(());
    }
    if scheme.eq_ignore_ascii_case(b"digest") {
        for parameter in rest.split(|byte| *byte == b',') {
            let value = parameter.splitn(2, |byte| *byte == b'=').last().unwrap_or_default();
            field(name, value.trim_ascii().trim_ascii_start().strip_prefix(b"\"").unwrap_or(value), visit)?;
        }
        return Ok(());
    }
    field(name, value, visit)
}

#[cfg(test)]
mod tests;
