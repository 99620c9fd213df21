//! Ports whose TLS ends in the sidecar: reads the annotation that names their Secrets, and renders what mounts them.
//!
//! Whether a Secret exists is not asked, since no request goes out while a pod is admitted: the pod waits for it as for
//! any other. Only the sidecar mounts them. Pure.

use std::collections::BTreeSet;
use std::str::FromStr;

use rasp_policy::pod::{
    ADMIN_PORT, ClientAuth, INBOUND_PORT, OUTBOUND_PORT, TLS_DIR, TLS_VOLUME_PREFIX, TlsPort, ToApplication,
    Verify, env,
};
use serde_json::{Value, json};

/// What is wrong with the annotation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An element is no declaration.
    #[error("element {0} is no PORT=SECRET, e.g. \"8443=shop-tls,upstream=tls; 9443=api-tls\"")]
    NotADeclaration(usize),
    /// A Secret cannot be called so.
    #[error("element {0} names a Secret that cannot exist: use lower case letters, digits, - and .")]
    NotASecret(usize),
    /// An option does not exist, or has no such value.
    #[error(
        "element {0} has an unknown option: use client-auth=none|optional|required, upstream=plain|tls, \
         verify=secret|off"
    )]
    NotAnOption(usize),
    /// `verify` without `upstream=tls`.
    #[error("element {0} says how to verify what is not spoken to in TLS: add upstream=tls")]
    NothingToVerify(usize),
    /// A port is declared twice.
    #[error("which declares port {0} twice: leave one out")]
    Twice(u16),
    /// A port of the proxy.
    #[error("which contains {0}, a port of the proxy: leave it out")]
    Own(u16),
    /// More than [`MAX`].
    #[error("more than {MAX} ports, or Secrets of one port: shorten it")]
    TooMany,
}

/// Ports, and Secrets of one port. Every Secret becomes a volume.
const MAX: usize = 16;

/// `PORT=SECRET[+SECRET][,OPTION=VALUE]`, separated by `;`. An empty value declares nothing.
pub(super) fn parse(value: &str) -> Result<Vec<TlsPort>, Problem> {
    let mut ports: Vec<TlsPort> = Vec::new();
    let elements = value.split(';').map(str::trim).filter(|element| !element.is_empty());
    for (number, element) in (1..).zip(elements) {
        let declared = port(number, element)?;
        if ports.iter().any(|known| known.port == declared.port) {
            return Err(Problem::Twice(declared.port));
        }
        if ports.len() == MAX || declared.secrets.len() > MAX {
            return Err(Problem::TooMany);
        }
        ports.push(declared);
    }
    Ok(ports)
}

fn port(number: usize, element: &str) -> Result<TlsPort, Problem> {
    let (port, rest) = element.split_once('=').ok_or(Problem::NotADeclaration(number))?;
    let port = port.trim();
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_number && *port != 0);
    let port = port.ok_or(Problem::NotADeclaration(number))?;
    if [INBOUND_PORT, OUTBOUND_PORT, ADMIN_PORT].contains(&port) {
        return Err(Problem::Own(port));
    }
    let mut parts = rest.split(',').map(str::trim);
    let secrets: Vec<String> =
        parts.next().unwrap_or_default().split('+').map(|secret| secret.trim().to_owned()).collect();
    if !secrets.iter().all(|secret| is_name(secret)) {
        return Err(Problem::NotASecret(number));
    }
    let mut declared = TlsPort {
        port,
        secrets,
        client_auth: ClientAuth::default(),
        upstream: ToApplication::default(),
        verify: Verify::default(),
    };
    let mut verifies = false;
    for option in parts {
        let (name, value) = option.split_once('=').ok_or(Problem::NotAnOption(number))?;
        match name.trim() {
            "client-auth" => declared.client_auth = word(number, value)?,
            "upstream" => declared.upstream = word(number, value)?,
            "verify" => (declared.verify, verifies) = (word(number, value)?, true),
            _ => return Err(Problem::NotAnOption(number)),
        }
    }
    if verifies && declared.upstream == ToApplication::Plain {
        return Err(Problem::NothingToVerify(number));
    }
    Ok(declared)
}

fn word<T: FromStr>(number: usize, value: &str) -> Result<T, Problem> {
    value.trim().parse().map_err(|_| Problem::NotAnOption(number))
}

/// The name of an object: labels of lower case letters, digits and `-` with dots in between (RFC 1123).
fn is_name(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let ends =
            label.bytes().next().is_some_and(alphanumeric) && label.bytes().last().is_some_and(alphanumeric);
        ends && label.bytes().all(|byte| alphanumeric(byte) || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Each Secret once, in the order of their names.
fn secrets(ports: &[TlsPort]) -> BTreeSet<&str> {
    ports.iter().flat_map(|port| port.secrets.iter().map(String::as_str)).collect()
}

fn volume_name(index: usize) -> String {
    format!("{TLS_VOLUME_PREFIX}{index}")
}

/// One volume for each Secret. It can be read by every user, because the sidecar does not run as root and nothing else
/// mounts it.
pub(super) fn volumes(ports: &[TlsPort]) -> impl Iterator<Item = Value> {
    let volume = |(index, secret)| json!({"name": volume_name(index), "secret": {"secretName": secret}});
    secrets(ports).into_iter().enumerate().map(volume)
}

/// Where the sidecar finds them.
pub(super) fn mounts(ports: &[TlsPort]) -> impl Iterator<Item = Value> {
    let mount = |(index, secret)| {
        let path = format!("{TLS_DIR}/{secret}");
        json!({"name": volume_name(index), "mountPath": path, "readOnly": true})
    };
    secrets(ports).into_iter().enumerate().map(mount)
}

/// Name and value of the variable; none without a port.
pub(super) fn variable(ports: &[TlsPort]) -> Option<(&'static str, String)> {
    let declared = serde_json::to_string(ports).unwrap_or_default(); // plain structs always serialise
    (!ports.is_empty()).then_some((env::TLS, declared))
}

#[cfg(test)]
mod tests {
    use rasp_policy::pod::{ClientAuth, ToApplication, Verify};

    use super::{Problem, is_name, parse};

    #[test]
    fn a_declaration_has_a_port_secrets_and_options() {
        let ports =
            parse(" 8443 = shop-tls + a.b ,client-auth=required, upstream=tls ,verify=off;; 9443=api;")
                .unwrap();
        assert_eq!(ports.len(), 2);
        assert_eq!(
            (ports[0].port, &*ports[0].secrets),
            (8443, &["shop-tls".to_owned(), "a.b".to_owned()][..])
        );
        assert_eq!(
            (ports[0].client_auth, ports[0].upstream, ports[0].verify),
            (ClientAuth::Required, ToApplication::Tls, Verify::Off)
        );
        assert_eq!(
            (ports[1].client_auth, ports[1].upstream, ports[1].verify),
            (ClientAuth::None, ToApplication::Plain, Verify::Secret)
        );
        assert_eq!(parse("  "), Ok(vec![]));
    }

    #[test]
    fn what_is_no_declaration_is_an_error_that_names_its_place() {
        let seventeen = |separator: &str, make: &dyn Fn(usize) -> String| {
            (1..=17).map(make).collect::<Vec<_>>().join(separator)
        };
        let table = [
            ("8443", Problem::NotADeclaration(1)),
            ("8443=a; =b", Problem::NotADeclaration(2)),
            ("+8443=a", Problem::NotADeclaration(1)),
            ("0=a", Problem::NotADeclaration(1)),
            ("70000=a", Problem::NotADeclaration(1)),
            ("8443=", Problem::NotASecret(1)),
            ("8443=a+", Problem::NotASecret(1)),
            ("8443=Shop", Problem::NotASecret(1)),
            ("8443=../token", Problem::NotASecret(1)),
            ("8443=a/b", Problem::NotASecret(1)),
            ("8443=a,client-auth", Problem::NotAnOption(1)),
            ("8443=a,client-auth=maybe", Problem::NotAnOption(1)),
            ("8443=a,mode=tls", Problem::NotAnOption(1)),
            ("8443=a,verify=off", Problem::NothingToVerify(1)),
            ("8443=a;8443=b", Problem::Twice(8443)),
            ("16143=a", Problem::Own(16143)),
            (&seventeen(";", &|index| format!("{index}=a")), Problem::TooMany),
            (&format!("1={}", seventeen("+", &|index| format!("s{index}"))), Problem::TooMany),
        ];
        for (value, problem) in table {
            assert_eq!(parse(value), Err(problem), "{value}");
        }
        assert!(
            is_name("a")
                && is_name("a-1.b")
                && !is_name("")
                && !is_name("a..b")
                && !is_name("-a")
                && !is_name("a-")
        );
    }
}
