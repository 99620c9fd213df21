//! The HTTP probes of a pod, as kubelet will send them. The sidecar lets exactly these through whatever the policy
//! says, so a probe that is not understood is left out and takes the normal path.

use rasp_policy::pod::{Probe, TlsPort};
use serde_json::Value;

use super::pod::{Container, Pod};

/// Probes that are told apart. Each is compared with those before it, and a review may bring 50,000.
const MOST: usize = 128;

/// Probes over HTTP to the pod itself that the sidecar can read, each once, in the order of the containers.
pub(super) fn collect(pod: &Pod<'_>, tls: &[TlsPort]) -> Vec<Probe> {
    let mut probes = Vec::new();
    for container in pod.foreign_containers().filter(|container| container.keeps_running()) {
        for probe in actions(container).filter_map(|action| build(container, action, tls)) {
            if probes.len() < MOST && !probes.contains(&probe) {
                probes.push(probe);
            }
        }
    }
    probes
}

/// Ports of the pod that probes ask in TLS.
pub(super) fn tls_ports(container: Container<'_>) -> impl Iterator<Item = u16> {
    actions(container)
        .filter(|action| action.get("scheme").and_then(Value::as_str) == Some("HTTPS"))
        .filter_map(move |action| port(container, action.get("port")?))
}

/// Ports of probes in plain text.
pub(super) fn plain_ports(container: Container<'_>) -> impl Iterator<Item = u16> {
    actions(container)
        .filter(|action| action.get("scheme").and_then(Value::as_str) != Some("HTTPS"))
        .filter_map(move |action| port(container, action.get("port")?))
}

fn actions(container: Container<'_>) -> impl Iterator<Item = &Value> {
    let kinds = ["startupProbe", "livenessProbe", "readinessProbe"];
    kinds.into_iter().filter_map(move |kind| container.value().get(kind)?.get("httpGet"))
}

fn build(container: Container<'_>, action: &Value, tls: &[TlsPort]) -> Option<Probe> {
    let text = |key| action.get(key).and_then(Value::as_str).unwrap_or_default();
    let port = port(container, action.get("port")?)?;
    // TLS is opaque to the sidecar where it does not end in it, and a probe with a host of its own does not go to the pod.
    let ends_here = tls.iter().any(|tls| tls.port == port);
    if (text("scheme") == "HTTPS") != ends_here || !text("host").is_empty() {
        return None;
    }
    Some(Probe { port, path: target(text("path"))?, headers: headers(action) })
}

/// A number, the name of a port of the same container, or, as kubelet accepts it too, a number in a text.
fn port(container: Container<'_>, port: &Value) -> Option<u16> {
    let number = |value: &Value| u16::try_from(value.as_u64()?).ok().filter(|port| *port != 0);
    let Some(name) = port.as_str() else { return number(port) };
    let named = container.ports().find(|port| port.get("name").and_then(Value::as_str) == Some(name));
    match named {
        Some(port) => number(port.get("containerPort")?),
        None => name.parse().ok().filter(|port| *port != 0),
    }
}

fn headers(action: &Value) -> Vec<(String, String)> {
    let list = action.get("httpHeaders").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|header| {
        let name = header.get("name")?.as_str()?.to_ascii_lowercase();
        let value = header.get("value").and_then(Value::as_str).unwrap_or_default();
        // An empty value of these two makes kubelet leave the field out.
        let left_out = value.is_empty() && matches!(name.as_str(), "user-agent" | "accept");
        (!left_out).then(|| (name, value.to_owned()))
    })
    .collect()
}

/// The request target kubelet makes of `httpGet.path`. It goes through Go's `net/url`, which keeps a valid path as it
/// is and escapes any other one anew; a path that does not parse is escaped as a whole.
fn target(path: &str) -> Option<String> {
    // Go reads an authority after two slashes and a scheme before a colon: that probe goes elsewhere.
    let first_segment = path.split('/').next().unwrap_or_default();
    if path.starts_with("//") || first_segment.contains(':') {
        return None;
    }
    let (raw, query) = match parsed(path) {
        Some((raw, _, query)) if raw.bytes().all(is_valid) => (raw.to_owned(), query),
        Some((_, plain, query)) => (escaped(&plain), query),
        None => (escaped(path.as_bytes()), None),
    };
    let slash = if raw.starts_with('/') { "" } else { "/" };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{slash}{raw}{query}"))
}

/// The path as written and unescaped, and the query; `None` where `url.Parse` fails.
fn parsed(path: &str) -> Option<(&str, Vec<u8>, Option<&str>)> {
    if path.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return None;
    }
    let (before, fragment) = path.split_once('#').unwrap_or((path, ""));
    unescaped(fragment)?;
    let (raw, query) = match before.split_once('?') {
        Some((raw, query)) => (raw, Some(query)),
        None => (before, None),
    };
    Some((raw, unescaped(raw)?, query))
}

/// `validEncoded` of Go's `net/url` for a path.
fn is_valid(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]%".contains(&byte)
}

/// `escape` of Go's `net/url` for a path.
fn escaped(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        plain.push(digit()? << 4 | digit()?);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn a_target_is_what_kubelet_sends() {
        let table = [
            // httpGet.path, request target as printed by kubelet's code with Go 1.26
            ("", "/"),
            ("/", "/"),
            ("healthz", "/healthz"),
            ("/healthz?verbose=1&x=%27", "/healthz?verbose=1&x=%27"),
            ("/healthz?", "/healthz?"),
            ("/healthz#part", "/healthz"),
            ("/a b", "/a%20b"),
            ("/a%20b", "/a%20b"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%2fb c", "/a/b%20c"),
            ("/ünit", "/%C3%BCnit"),
            ("/it's(ok)!*", "/it's(ok)!*"),
            ("/100%", "/100%25"),
            ("/100%?x=1", "/100%25%3Fx=1"),
            ("/<x>", "/%3Cx%3E"),
            ("?x=1", "/?x=1"),
            ("*", "/*"),
            ("/a:b", "/a:b"),
            ("/a%41", "/a%41"),
            ("/a\nb", "/a%0Ab"),
            ("/a#b%zz", "/a%23b%25zz"),
            ("/q?a%zz", "/q?a%zz"),
            ("/a[1]%", "/a%5B1%5D%25"),
        ];
        for (path, expected) in table {
            assert_eq!(target(path).as_deref(), Some(expected), "{path}");
        }
        assert_eq!(target("//host/path"), None, "an authority");
        assert_eq!(target("a:b/c"), None, "a scheme");
    }
}
