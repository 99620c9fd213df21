use http::Request;
use rasp_policy::pod::Probe;

use super::is_probe;

type Lines<'a> = &'a [(&'a str, &'a str)];

#[test]
fn only_the_exact_probe_of_the_kubelet_is_a_probe() {
    let probes = [
        Probe { port: 8080, path: "/healthz?full=1".into(), headers: vec![("x-probe".into(), "yes".into())] },
        Probe { port: 8080, path: "/ready".into(), headers: vec![] },
    ];
    let agent = ("user-agent", "kube-probe/1.37");
    let x_probe = ("x-probe", "yes");
    let table: [(&str, &str, u16, Lines<'_>, bool); 15] = [
        ("GET", "/healthz?full=1", 8080, &[agent, x_probe], true),
        ("GET", "/ready", 8080, &[agent], true),
        ("GET", "/ready?x=1", 8080, &[agent], false),
        ("GET", "/healthz?full=1", 8080, &[agent], false),
        ("GET", "/healthz?full=1", 8080, &[agent, ("x-probe", "no")], false),
        ("GET", "/ready", 8081, &[agent], false),
        ("POST", "/ready", 8080, &[agent], false),
        ("GET", "/ready", 8080, &[("user-agent", "curl/8")], false),
        ("GET", "/ready", 8080, &[], false),
        (
            "GET",
            "/ready",
            8080,
            &[agent, ("host", "[fd00::1]:8080"), ("accept", "*/*"), ("connection", "close")],
            true,
        ),
        ("GET", "/ready", 8080, &[("user-agent", "kube-probe/1.33+")], true), // as vendors build it
        ("GET", "/ready", 8080, &[agent, ("cookie", "a=b")], false),
        ("GET", "/ready", 8080, &[agent, ("accept", "' or 1=1 --")], false),
        ("GET", "/healthz?full=1", 8080, &[agent, x_probe, ("x-probe", "' or 1=1 --")], false),
        ("GET", "/ready", 8080, &[("user-agent", "kube-probe/1.37' or 1=1")], false),
    ];
    for (method, target, port, headers, expected) in table {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(is_probe(&parts, port, &probes), expected, "{method} {target} {port} {headers:?}");
    }
    let own = [Probe { port: 1, path: "/".into(), headers: vec![("user-agent".into(), "mine".into())] }];
    let (parts, ()) = Request::get("/").header("user-agent", "mine").body(()).unwrap().into_parts();
    assert!(is_probe(&parts, 1, &own), "a pod spec may name the agent");
}
