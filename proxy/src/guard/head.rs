//! The head of one request, line by line: what it says, and what of it is refused. Allocates nothing.
//!
//! Called by the guard with all bytes of the head that are there; an incomplete line is looked at again when more
//! came, everything before it is not.

use super::field::{self, Field};
use super::line::{self, Line};
use super::rewrite::{Rewrite, Span, Value};
use super::target::{self, Form, Oddities, Target};
use super::{Fault, Limits, host};
use crate::reason::Malformed;

/// Where the message ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// With the head.
    #[default]
    None,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk and the trailer.
    Chunked,
}

/// What the guard saw, for whoever has to agree with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// [`digest`] of method and target as they go on.
    pub digest: u64,
    /// Where the message ends.
    pub framing: Framing,
    /// Number of fields that go on.
    pub fields: usize,
    /// What is odd about the target.
    pub oddities: Oddities,
    /// Whether it has fields that must not reach the application: `Proxy`, `x-rasp-*`.
    pub internal: bool,
    /// Whether it has the same `Content-Type` more than once.
    pub type_repeated: bool,
    /// Whether it has more than one `Cookie`.
    pub crumbs: bool,
}

/// A number that two readers of a head have in common when they read the same method and target.
pub fn digest(method: &[u8], target: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, word: u64| (sum.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let mut sum = mix(method.len() as u64, target.len() as u64);
    for part in [method, target] {
        let words = part.chunks_exact(8);
        let tail = words.remainder().iter().fold(0, |tail: u64, byte| (tail << 8) | u64::from(*byte));
        for word in words {
            sum = mix(sum, u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        sum = mix(sum, tail);
    }
    sum
}

/// How far a head was read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    // The line that is looked at begins here, and the search for its end goes on so many bytes later.
    at: usize,
    searched: usize,
    line: Option<RequestLine>,
    fields: usize,
    host: Option<Span>,
    length: Option<u64>,
    chunked: bool,
    content_type: Option<Span>,
    type_repeated: bool,
    cookies: usize,
    websocket: bool,
    internal: bool,
    value: Option<(Span, Value)>,
}

#[derive(Clone, Copy, Debug)]
struct RequestLine {
    method: usize,
    target: Span,
    looked: Target,
    http_1_0: bool,
}

/// A complete head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complete {
    /// Its length as it came.
    pub length: usize,
    /// What it says.
    pub facts: Facts,
    /// What must be written differently.
    pub rewrite: Rewrite,
}

const VERSION: usize = "HTTP/1.1".len();

impl Head {
    /// Looks at the head that `bytes` begin with; `None` asks for more of it.
    pub fn look(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Complete>, Malformed> {
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let longest = match self.line {
                None => limits.method + limits.target + VERSION + 2,
                Some(_) => limits.head.saturating_sub(self.at + 4), // the empty line must fit too
            };
            let end = match line::end(rest, self.searched, longest) {
                Ok(Line::Whole(end)) => end,
                Ok(Line::Part(searched)) => {
                    self.searched = searched;
                    return Ok(None);
                }
                Err(fault) => return Err(self.fault(fault, rest, limits)),
            };
            let line = rest.get(..end).unwrap_or_default();
            if self.line.is_none() {
                self.line = Some(request_line(line, limits)?);
            } else if line.is_empty() && self.at + 2 > limits.head {
                return Err(Malformed::HeadSize);
            } else if line.is_empty() {
                return self.complete(bytes, self.at + 2, limits).map(Some);
            } else {
                self.field(bytes, line, limits)?;
            }
            self.at += end + 2;
            self.searched = 0;
        }
    }

    /// Whether the request is a HEAD, as far as is known.
    pub fn is_head(&self, bytes: &[u8]) -> bool {
        self.line.is_some_and(|line| line.method == 4) && bytes.starts_with(b"HEAD ")
    }

    fn fault(&self, fault: Fault, rest: &[u8], limits: &Limits) -> Malformed {
        match fault {
            Fault::LineEnd => Malformed::LineEnd,
            Fault::LineSize if self.line.is_some() => Malformed::HeadSize,
            // A long request line: it is the target that is long, unless already the method is.
            Fault::LineSize => match rest.iter().position(|byte| *byte == b' ') {
                Some(method) if method <= limits.method => Malformed::TargetSize,
                _ => Malformed::MethodSize,
            },
            _ if self.line.is_none() => Malformed::Line,
            _ => Malformed::Field,
        }
    }

    fn field(&mut self, bytes: &[u8], line: &[u8], limits: &Limits) -> Result<(), Malformed> {
        let field = field::parse(line, limits).map_err(|fault| match fault {
            Fault::FieldSize => Malformed::HeadSize,
            _ => Malformed::Field,
        })?;
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(Malformed::FieldCount);
        }
        if field.folds && field::is_alias(field.name) {
            return Err(Malformed::Alias);
        }
        let is = |name: &[u8]| field.name.eq_ignore_ascii_case(name);
        let from = self.at + field.value_at;
        let span = Span { from, to: from + field.value.len() };
        match field.name.len() {
            4 if is(b"host") => self.host(&field, span)?,
            5 if is(b"proxy") => self.internal = true,
            6 if is(b"cookie") => self.cookies += 1,
            6 if is(b"expect") && !field.value.eq_ignore_ascii_case(b"100-continue") => {
                return Err(Malformed::Expect);
            }
            7 if is(b"upgrade") => self.websocket |= has_member(field.value, b"websocket"),
            10 if is(b"connection") && field::nominates_protected(field.value) => {
                return Err(Malformed::Nomination);
            }
            12 if is(b"content-type") => self.content_type(bytes, span)?,
            14 if is(b"content-length") => self.content_length(&field, span)?,
            17 if is(b"transfer-encoding") => self.transfer_encoding(&field, span)?,
            length if length > field::INTERNAL.len() => {
                self.internal |= field
                    .name
                    .get(..field::INTERNAL.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(field::INTERNAL));
            }
            _ => {}
        }
        Ok(())
    }

    fn host(&mut self, field: &Field<'_>, span: Span) -> Result<(), Malformed> {
        if self.host.replace(span).is_some() {
            return Err(Malformed::HostRepeated);
        }
        if host::is_host(field.value) { Ok(()) } else { Err(Malformed::HostInvalid) }
    }

    /// Of two types each application reads the body by one of them. The same one twice is no framing: what becomes of it
    /// is for the policy to say.
    fn content_type(&mut self, bytes: &[u8], span: Span) -> Result<(), Malformed> {
        match self.content_type {
            None => self.content_type = Some(span),
            Some(first) if first.of(bytes).eq_ignore_ascii_case(span.of(bytes)) => self.type_repeated = true,
            Some(_) => return Err(Malformed::ContentType),
        }
        Ok(())
    }

    /// `1*DIGIT`, once, and no more than a signed number of 64 bits holds (RFC 9110 section 8.6).
    fn content_length(&mut self, field: &Field<'_>, span: Span) -> Result<(), Malformed> {
        let length = length(field.value).ok_or(Malformed::ContentLength)?;
        if self.length.replace(length).is_some() {
            return Err(Malformed::ContentLength);
        }
        if field.value.len() > 1 && field.value.first() == Some(&b'0') {
            self.value = Some((span, Value::Length(length))); // some read leading zeros as octal
        }
        Ok(())
    }

    /// `chunked`, once, and nothing else (RFC 9112 section 6.1).
    fn transfer_encoding(&mut self, field: &Field<'_>, span: Span) -> Result<(), Malformed> {
        if self.chunked {
            return Err(Malformed::TransferEncoding);
        }
        if !field.value.eq_ignore_ascii_case(b"chunked") {
            return Err(coding(field.value));
        }
        self.chunked = true;
        if field.value != b"chunked" {
            self.value = Some((span, Value::Chunked));
        }
        Ok(())
    }

    /// What only the whole head says.
    fn complete(&self, bytes: &[u8], length: usize, limits: &Limits) -> Result<Complete, Malformed> {
        let Some(line) = self.line else { return Err(Malformed::Line) };
        let framing = match (self.chunked, self.length) {
            (true, Some(_)) => return Err(Malformed::Lengths),
            (true, None) if line.http_1_0 => return Err(Malformed::TransferEncoding),
            (true, None) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::None,
        };
        let named = named_host(bytes, &line, self.host)?;
        if self.fields + usize::from(named.is_some()) > limits.fields {
            return Err(Malformed::FieldCount);
        }
        if self.websocket && !matches!(framing, Framing::None | Framing::Length(0)) {
            return Err(Malformed::UpgradeBody); // RFC 6455 section 4.1: GET; whose bytes follow would be a guess
        }
        let rewrites_target =
            line.looked.oddities.encoded || line.looked.form != target_as_it_is(line.looked.form);
        let rewrite = Rewrite {
            target: rewrites_target.then_some((line.target, line.looked.form)),
            host: named,
            value: self.value,
        };
        let digest = digest(bytes.get(..line.method).unwrap_or_default(), line.target.of(bytes));
        let facts = Facts {
            digest,
            framing,
            fields: self.fields + usize::from(named.is_some()),
            oddities: line.looked.oddities,
            internal: self.internal,
            type_repeated: self.type_repeated,
            crumbs: self.cookies > 1,
        };
        Ok(Complete { length, facts, rewrite })
    }
}

/// The form a target may keep on its way.
fn target_as_it_is(form: Form) -> Form {
    if form == Form::Asterisk { Form::Asterisk } else { Form::Origin }
}

/// Host and authority of an absolute target must be the same (RFC 9112 section 3.2.2 would have the one replaced by
/// the other, which leaves those in front of us with another host than those behind). Says which host to add where
/// HTTP/1.0 has none.
fn named_host(bytes: &[u8], line: &RequestLine, host: Option<Span>) -> Result<Option<Span>, Malformed> {
    let Form::Absolute { authority, path } = line.looked.form else {
        return if host.is_some() || line.http_1_0 { Ok(None) } else { Err(Malformed::HostMissing) };
    };
    let authority = Span { from: line.target.from + authority, to: line.target.from + path };
    if !host::is_host(authority.of(bytes)) {
        return Err(Malformed::HostInvalid);
    }
    match host {
        Some(host) if host.of(bytes).eq_ignore_ascii_case(authority.of(bytes)) => Ok(None),
        Some(_) => Err(Malformed::HostMismatch),
        None if line.http_1_0 => Ok(Some(authority)),
        None => Err(Malformed::HostMissing),
    }
}

fn has_member(value: &[u8], wanted: &[u8]) -> bool {
    field::members(value).any(|member| member.eq_ignore_ascii_case(wanted))
}

fn length(value: &[u8]) -> Option<u64> {
    const LONGEST: usize = 32; // with leading zeros
    if value.is_empty() || value.len() > LONGEST || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut digits = value.iter().map(|digit| i64::from(digit - b'0'));
    let length = digits.try_fold(0_i64, |sum, digit| sum.checked_mul(10)?.checked_add(digit))?;
    u64::try_from(length).ok()
}

/// Why a list of codings is refused: it is none, it does not end with `chunked`, or it has more than that, which
/// nobody here understands (RFC 9112 section 6.1).
fn coding(value: &[u8]) -> Malformed {
    let chunked = |member: &[u8]| member.eq_ignore_ascii_case(b"chunked");
    let known = field::members(value).filter(|member| chunked(member)).count() == 1
        && field::members(value).last().is_some_and(chunked)
        && field::members(value).all(field::is_token);
    if known { Malformed::TransferCoding } else { Malformed::TransferEncoding }
}

/// `method SP target SP HTTP-version` (RFC 9112 section 3).
fn request_line(line: &[u8], limits: &Limits) -> Result<RequestLine, Malformed> {
    let method = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    if method > limits.method {
        return Err(Malformed::MethodSize);
    }
    let name = line.get(..method).unwrap_or_default();
    let rest = line.get(method + 1..).ok_or(Malformed::Line)?;
    let length = rest.iter().position(|byte| *byte == b' ').ok_or(Malformed::Line)?;
    let target = rest.get(..length).unwrap_or_default();
    if !field::is_token(name) || name == b"PRI" || target.is_empty() {
        return Err(Malformed::Line); // PRI belongs to HTTP/2 (RFC 9113 section 11.6)
    }
    if length > limits.target || !target::fits(target) {
        return Err(Malformed::TargetSize);
    }
    let http_1_0 = match rest.get(length + 1..).unwrap_or_default() {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(Malformed::Version),
        _ => return Err(Malformed::Line),
    };
    if matches!(name, b"CONNECT" | b"TRACE") {
        return Err(Malformed::Method);
    }
    let looked = target::look(target, name == b"OPTIONS").map_err(|_| Malformed::Target)?;
    let target = Span { from: method + 1, to: method + 1 + length };
    Ok(RequestLine { method, target, looked, http_1_0 })
}
