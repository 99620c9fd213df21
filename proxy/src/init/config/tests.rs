use super::*;

fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_lookup(|name| {
        variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
    })
}

fn with_ports(ports: &str) -> Result<Config, ConfigError> {
    config(&[("RASP_POD_IPS", "10.1.0.2"), ("RASP_HOST_IPS", "10.0.0.1"), ("RASP_SKIP_INBOUND_PORTS", ports)])
}

#[test]
fn reads_ports_and_addresses_of_both_families() {
    let config = config(&[
        ("RASP_SKIP_INBOUND_PORTS", "9090, 22,9090"),
        ("RASP_POD_IPS", "10.1.0.2,fd00::2"),
        ("RASP_HOST_IPS", "10.0.0.1, fd01::1"),
    ])
    .unwrap();
    assert_eq!(config.skip_ports, [22, 9090].into());
    assert_eq!(config.pod_ips, ["10.1.0.2".parse::<IpAddr>().unwrap(), "fd00::2".parse().unwrap()]);
    assert_eq!(config.host_ips, ["10.0.0.1".parse::<IpAddr>().unwrap(), "fd01::1".parse().unwrap()]);
    assert_eq!(config.host_address(), None);
}

#[test]
fn no_port_to_skip_is_fine() {
    assert!(with_ports(" ").unwrap().skip_ports.is_empty());
}

#[test]
fn tells_everything_that_is_wrong_at_once() {
    let error =
        config(&[("RASP_SKIP_INBOUND_PORTS", "80,,0,70000,16143,16140"), ("RASP_POD_IPS", "10.1.0.2,x\n")]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "RASP_SKIP_INBOUND_PORTS: \"\" is not a port: list TCP ports from 1 to 65535, separated by commas; \
         RASP_SKIP_INBOUND_PORTS: \"0\" is not a port: list TCP ports from 1 to 65535, separated by commas; \
         RASP_SKIP_INBOUND_PORTS: \"70000\" is not a port: list TCP ports from 1 to 65535, separated by commas; \
         RASP_SKIP_INBOUND_PORTS: \"16143\" is a port of the sidecar itself: leave it out; it must not be reached from outside; \
         RASP_SKIP_INBOUND_PORTS: \"16140\" is a port of the sidecar itself: leave it out; it must not be reached from outside; \
         RASP_POD_IPS: \"x\" is not an IP address: fill it with status.podIPs by the downward API; \
         RASP_HOST_IPS is missing or empty: fill it with status.hostIPs by the downward API"
    );
}

#[test]
fn the_admin_port_may_be_named_since_it_is_reached_anyway() {
    assert_eq!(with_ports("16191").unwrap().skip_ports, [16191].into());
}

#[test]
fn more_ports_than_fit_into_a_batch_are_refused() {
    let list = |last: u32| (1..=last).map(|port| port.to_string()).collect::<Vec<String>>().join(",");
    assert_eq!(with_ports(&list(256)).unwrap().skip_ports.len(), MAX_SKIP_PORTS);
    let error = with_ports(&list(257)).unwrap_err().to_string();
    assert!(error.starts_with("RASP_SKIP_INBOUND_PORTS: \"257\" ports are too many"), "{error}");
}

#[test]
fn an_address_of_the_node_is_found_in_any_notation() {
    for (pod, host) in
        [("10.0.0.1", "10.0.0.1"), ("fd00::2,10.0.0.1", "::ffff:10.0.0.1"), ("fd01::1", "fd01:0::1")]
    {
        let config = config(&[("RASP_POD_IPS", pod), ("RASP_HOST_IPS", host)]).unwrap();
        assert!(config.host_address().is_some(), "{pod} on {host}");
    }
}
