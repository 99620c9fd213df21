//! What the exchange takes from the wire guard, and which requests are probes. Pure.
//!
//! The guard read the bytes before hyper did. What hyper hands over must be the same request: a difference would be a
//! way past inspection, so it is refused.

use http::Method;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING,
    USER_AGENT,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http_body::Body;
use rasp_policy::pod::Probe;

use crate::connection::wire::Note;
use crate::guard::head::{Facts, Framing, digest};
use crate::reason::Malformed;

pub mod http2;

/// What the guard says about a request, if hyper read the same.
pub fn note(note: Option<Note>, parts: &Parts, body: &impl Body) -> Result<Facts, Malformed> {
    match note {
        Some(Note::Accepted(facts)) if agrees(&facts, parts, body) => Ok(facts),
        Some(Note::Refused(malformed)) => Err(malformed),
        Some(Note::Accepted(_)) | None => Err(Malformed::Disagreement),
    }
}

fn agrees(facts: &Facts, parts: &Parts, body: &impl Body) -> bool {
    let Parts { method, uri, headers, .. } = parts;
    let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
    let framing = match facts.framing {
        Framing::None => !headers.contains_key(CONTENT_LENGTH) && body.is_end_stream(),
        Framing::Length(length) => body.size_hint().exact() == Some(length),
        Framing::Chunked => body.size_hint().exact().is_none(),
    };
    framing
        && headers.contains_key(TRANSFER_ENCODING) == (facts.framing == Framing::Chunked)
        && headers.len() == facts.fields
        && uri.scheme().is_none()
        && uri.authority().is_none()
        && digest(method.as_str().as_bytes(), target.as_bytes()) == facts.digest
}

/// Whether this is a probe of the kubelet: exactly the target and the fields of the pod spec, its fixed `User-Agent`, and
/// nothing more: whoever dresses up as the kubelet must have no room for an attack. Anything else takes the normal path.
pub fn is_probe(parts: &Parts, port: u16, probes: &[Probe]) -> bool {
    if probes.is_empty() || parts.method != Method::GET {
        return false;
    }
    let target = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    let holds = |name: &str, value: &str| {
        parts.headers.get_all(name).iter().any(|sent| sent.as_bytes() == value.as_bytes())
    };
    probes.iter().any(|probe| {
        let own_agent = probe.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent"));
        let agent = own_agent
            || parts
                .headers
                .get(http::header::USER_AGENT)
                .is_some_and(|agent| agent.as_bytes().starts_with(b"kube-probe/"));
        let named = |name: &HeaderName, value: &HeaderValue| {
            probe.headers.iter().any(|(own, said)| {
                name.as_str().eq_ignore_ascii_case(own) && value.as_bytes() == said.as_bytes()
            })
        };
        let nothing_more =
            || parts.headers.iter().all(|(name, value)| named(name, value) || is_of_kubelet(name, value));
        probe.port == port
            && probe.path == target
            && agent
            && nothing_more()
            && probe.headers.iter().all(|(name, value)| holds(name, value))
    })
}

/// What the kubelet sends with every probe.
fn is_of_kubelet(name: &HeaderName, value: &HeaderValue) -> bool {
    const NAMES: [HeaderName; 5] = [HOST, USER_AGENT, ACCEPT, ACCEPT_ENCODING, CONNECTION];
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-:[]/*, +~_".contains(byte);
    NAMES.contains(name) && value.as_bytes().iter().all(plain)
}

#[cfg(test)]
mod tests;
