//! What the head of a request must be before anybody judges it. Pure.
//!
//! hyper parses and repairs; here what it lets through is refused where two servers could understand it in two ways
//! (RFC 9112 sections 3.2 and 6.1). A guard in front of hyper, for what hyper hides, is a separate stage.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Method, Version};
use rasp_policy::pod::Probe;

use super::fields::tokens;
use crate::guard::host::is_host;
use crate::reason::Malformed;

pub mod http2;

/// Fields that a client must not have removed on the way (by `Connection: field`).
const PROTECTED: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "cookie",
    "authorization",
    "content-type",
    "content-encoding",
    "x-forwarded-for",
    "forwarded",
];

/// Refuses heads that could be understood in two ways, and brings absolute targets into origin form.
pub fn check(parts: &mut Parts) -> Result<(), Malformed> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Malformed::Method);
    }
    framing(&parts.headers)?;
    host(parts)?;
    target(parts)?;
    let nominates = |token: &str| PROTECTED.iter().any(|name| name.eq_ignore_ascii_case(token));
    if parts.headers.contains_key(CONNECTION) && tokens(&parts.headers, &CONNECTION).any(nominates) {
        return Err(Malformed::Nomination);
    }
    Ok(())
}

fn framing(headers: &HeaderMap) -> Result<(), Malformed> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).into_iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
        return Err(Malformed::TransferEncoding);
    }
    if headers.contains_key(CONTENT_LENGTH) { Err(Malformed::Lengths) } else { Ok(()) }
}

fn host(parts: &Parts) -> Result<(), Malformed> {
    let mut hosts = parts.headers.get_all(HOST).into_iter();
    let host = match hosts.next() {
        Some(host) => host,
        None if parts.version == Version::HTTP_10 => return Ok(()),
        None => return Err(Malformed::HostMissing),
    };
    if hosts.next().is_some() {
        return Err(Malformed::HostRepeated);
    }
    if !is_host(host.as_bytes()) {
        return Err(Malformed::HostInvalid);
    }
    match parts.uri.authority() {
        Some(authority) if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) => {
            Err(Malformed::HostMismatch)
        }
        _ => Ok(()),
    }
}

fn target(parts: &mut Parts) -> Result<(), Malformed> {
    let path_and_query = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    if parts.uri.scheme().is_some() {
        let origin = if path_and_query.is_empty() { "/" } else { path_and_query };
        let origin = Uri::try_from(origin.to_owned()).map_err(|_| Malformed::Target)?;
        if let (None, Some(authority)) = (parts.headers.get(HOST), parts.uri.authority()) {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Malformed::Target)?;
            parts.headers.insert(HOST, host);
        }
        parts.uri = origin;
        return Ok(());
    }
    let asterisk = path_and_query == "*" && parts.method == Method::OPTIONS;
    if asterisk || path_and_query.starts_with('/') { Ok(()) } else { Err(Malformed::Target) }
}

/// Whether this is a probe of the kubelet: exactly the target and the fields of the pod spec, and its fixed
/// `User-Agent`. Anything else takes the normal path.
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
        probe.port == port
            && probe.path == target
            && agent
            && probe.headers.iter().all(|(name, value)| holds(name, value))
    })
}

#[cfg(test)]
mod tests;
