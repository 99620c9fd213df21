use std::collections::BTreeMap;

use rasp_policy::api::FailureMode;

use super::{Config, Error, Errors};

const CA: &str = include_str!("tests/ca.pem");

fn complete() -> BTreeMap<&'static str, String> {
    [
        ("RASP_WORKLOAD", "Deployment/web"),
        ("RASP_NAMESPACE", "shop"),
        ("RASP_POD_NAME", "web-1"),
        ("RASP_POD_UID", "u"),
        ("RASP_POD_IPS", "10.0.0.7,fd00::7"),
        ("RASP_OPERATOR_URL", "https://kube-rasp-operator.kube-rasp.svc:443"),
        ("RASP_OPERATOR_CA", CA),
        ("RASP_PUBLIC_KEYS", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("RASP_SEQUENCE_FLOOR", "17"),
        ("RASP_FAILURE_MODE", "Closed"),
        ("RASP_PROBES", r#"[{"port":8080,"path":"/ready"}]"#),
        ("RASP_PORT_PROTOCOLS", "8080=http,5432=opaque"),
        ("RASP_TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

fn read(variables: &BTreeMap<&'static str, String>) -> Result<Config, Errors> {
    Config::from_lookup(|name| variables.get(name).cloned())
}

#[test]
fn reads_what_injection_sets() {
    let config = read(&complete()).unwrap();
    assert_eq!(config.checks.floor, 17);
    assert_eq!(config.checks.namespace_uid, None);
    assert_eq!(config.failure_mode, FailureMode::Closed);
    assert_eq!(config.pod_ips.len(), 2);
    assert_eq!(config.probes[0].path, "/ready");
    assert_eq!(config.protocols.to_text(), "5432=opaque,8080=http");
    assert_eq!((config.listen.port(), config.admin.port()), (16143, 16191));
    assert!(
        config.hops.is_trusted("::ffff:10.1.2.3".parse().unwrap()) && config.hops.proxy_protocol.is_empty()
    );
    let mut none = complete();
    none.insert("RASP_PORT_PROTOCOLS", String::new());
    assert_eq!(read(&none).unwrap().protocols.to_text(), "", "no port is opaque unless injection says so");
}

#[test]
fn the_process_ends_two_seconds_before_the_pod_would_be_killed() {
    for (seconds, expected) in [("", 28), ("30", 28), ("600", 598), ("3", 1), ("1", 0)] {
        let mut variables = complete();
        variables.insert("RASP_TERMINATION_GRACE", seconds.to_owned());
        assert_eq!(read(&variables).unwrap().grace.as_secs(), expected, "{seconds:?}");
    }
}

#[test]
fn tells_every_error_at_once() {
    let Errors(errors) = read(&BTreeMap::new()).unwrap_err();
    let missing = |name| Error::Missing(name);
    for name in [
        "RASP_WORKLOAD",
        "RASP_NAMESPACE",
        "RASP_POD_UID",
        "RASP_POD_IPS",
        "RASP_OPERATOR_CA",
        "RASP_FAILURE_MODE",
    ] {
        assert!(errors.contains(&missing(name)), "{name}: {errors:?}");
    }

    let table = [
        ("RASP_POD_IPS", "10.0.0.7,nonsense", "nonsense"),
        ("RASP_OPERATOR_URL", "http://operator", "expected https://HOST:PORT"),
        ("RASP_OPERATOR_URL", "https://operator/path", "expected https://HOST:PORT"),
        ("RASP_OPERATOR_CA", "no pem", "expected PEM certificates"),
        ("RASP_PUBLIC_KEYS", "abc", "raw 32-byte Ed25519"),
        ("RASP_SEQUENCE_FLOOR", "-1", "invalid digit"),
        ("RASP_FAILURE_MODE", "Maybe", "expected Open or Closed"),
        ("RASP_PROBES", "{}", "JSON array of probes"),
        ("RASP_PORT_PROTOCOLS", "70000=http", "expected PORT=PROTOCOL"),
        ("RASP_TRUSTED_PROXIES", "10.0.0.0/8,::/0", "would believe everybody"),
        ("RASP_PROXY_PROTOCOL_FROM", "lb.example", "expected a network"),
        ("RASP_LIMITS", "timeout-haed=1s", "element 1 names no limit"),
    ];
    for (name, value, expected) in table {
        let mut variables = complete();
        variables.insert(name, value.to_owned());
        let Errors(errors) = read(&variables).unwrap_err();
        assert_eq!(errors.len(), 1, "{name}={value}: {errors:?}");
        let text = errors[0].to_string();
        assert!(text.starts_with(name) && text.contains(expected), "{text}");
    }
    let mut all = complete();
    for (name, value, _) in table {
        all.insert(name, value.to_owned());
    }
    assert_eq!(read(&all).unwrap_err().0.len(), 11);
}
