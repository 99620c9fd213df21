//! What `raspctl` does without a cluster, as its users run it: `test`, `explain --from`, the plugin, completions, pages.
#![expect(clippy::unwrap_used, reason = "every function here belongs to a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const RASPCTL: &str = env!("CARGO_BIN_EXE_raspctl");

fn raspctl(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    told(Command::new(RASPCTL).args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap())
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

const POLICIES: &str = "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {name: all}\nspec: {mode: Monitor}\n---\n\
apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {name: front}\nspec: {podSelector: {matchLabels: {app: front}}, mode: Block, \
inspection: {maxBodyBytes: 1024}}\n";

fn desk(requests: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policies.yaml"), POLICIES).unwrap();
    fs::write(folder.path().join("requests.yaml"), requests).unwrap();
    folder
}

const TEST: [&str; 4] = ["test", "-f", "policies.yaml", "requests.yaml"];
const ATTACK: &str = "/?id=1%27%20OR%20%271%27=%271";

#[test]
fn the_example_of_the_documentation_is_as_it_says() {
    let arguments = ["test", "-f", "manifests/examples/exceptions.yaml", "manifests/tests/exceptions.yaml"];
    let (code, out, err) = raspctl(&repository(), &arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.ends_with("5 requests, 0 not as expected\n"), "{out}");
    assert!(out.contains("excepted by exceptions/editor-body"), "{out}");
    assert!(!out.contains('\x1b'), "no colours where stdout is no terminal: {out}");
    let pages = fs::read_to_string(repository().join("docs/raspctl.md")).unwrap();
    assert!(
        pages.contains("raspctl test -f manifests/examples/exceptions.yaml manifests/tests/exceptions.yaml")
    );
}

#[test]
fn labels_of_the_pod_choose_the_policies() {
    let requests = format!(
        "podLabels: {{app: front}}\nrequests:\n- {{name: front, target: \"{ATTACK}\", expect: {{verdict: block}}}}\n- {{name: back, target: \
         \"{ATTACK}\", podLabels: {{app: back}}, expect: {{verdict: would_block}}}}\n- {{name: none, target: \"{ATTACK}\", podLabels: {{}}, \
         expect: {{verdict: would_block, class: sql_injection}}}}\n"
    );
    let (code, out, err) = raspctl(desk(&requests).path(), &TEST);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn a_request_says_on_which_side_of_a_share_it_is() {
    let body = format!("a={}", "x".repeat(2000));
    let form = "method: POST, headers: {content-type: application/x-www-form-urlencoded}";
    let requests = |outside: &str, inside: &str| {
        format!(
            "requests:\n- {{name: a, target: \"{ATTACK}\", expect: {{verdict: {inside}}}}}\n- {{name: b, target: \"{ATTACK}\", enforced: false, expect: \
             {{verdict: {outside}}}}}\n- {{name: c, target: /, {form}, body: {body}, enforced: true, expect: {{verdict: {inside}}}}}\n- {{name: d, target: /, \
             {form}, body: {body}, enforced: false, expect: {{verdict: {outside}}}}}\n"
        )
    };
    for (percent, inside, outside) in
        [(0, "would_block", "would_block"), (10, "block", "would_block"), (100, "block", "block")]
    {
        let desk = desk(&requests(outside, inside));
        let policy = format!(
            "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {{name: a}}\nspec: {{mode: Block, inspection: {{maxBodyBytes: 1024}}, \
             enforcement: {{percent: {percent}}}}}\n"
        );
        fs::write(desk.path().join("policies.yaml"), policy).unwrap();
        let (code, out, err) = raspctl(desk.path(), &TEST);
        assert_eq!(code, 0, "{percent} %: {out}{err}");
    }
}

#[test]
fn a_body_that_is_too_long_is_refused_as_the_proxy_refuses_it() {
    let body = format!("a={}", "x".repeat(2000));
    let requests = format!(
        "podLabels: {{app: front}}\nrequests:\n- name: long\n  method: POST\n  target: /\n  headers: {{content-type: \
         application/x-www-form-urlencoded}}\n  body: {body}\n  expect: {{verdict: block}}\n"
    );
    let desk = desk(&requests);
    let (code, out, err) = raspctl(desk.path(), &[&TEST[..], &["-o", "json"]].concat());
    assert_eq!(code, 0, "{out}{err}");
    let suites: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(suites[0]["cases"][0]["status"], 413, "{out}");
}

#[test]
fn a_mismatch_fails_and_is_told_in_every_form() {
    let requests = format!(
        "requests:\n- {{name: \"a <b> & c\", target: \"{ATTACK}\", podLabels: {{app: front}}, expect: {{verdict: allow, rule: no-such-rule}}}}\n- \
         {{name: fine, target: /, expect: {{verdict: allow}}}}\n"
    );
    let desk = desk(&requests);
    let (code, out, _) = raspctl(desk.path(), &[&TEST[..], &["--junit", "junit.xml"]].concat());
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("FAIL  a <b> & c  block"), "{out}");
    let what = "expected allow, is block, expected a finding of rule no-such-rule; found: sqli-tautology (Certain, query id)";
    assert!(out.contains(what), "{out}");
    assert!(out.ends_with("2 requests, 1 not as expected\n"), "{out}");
    let xml = fs::read_to_string(desk.path().join("junit.xml")).unwrap();
    assert!(xml.contains("<testsuites name=\"raspctl test\" tests=\"2\" failures=\"1\">"), "{xml}");
    assert!(xml.contains("name=\"a &lt;b&gt; &amp; c\""), "{xml}");
    assert!(xml.contains("<failure message=\"expected allow, is block"), "{xml}");
    assert_eq!(xml.matches("<testcase").count(), 2, "{xml}");
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let desk = desk("requests:\n- name: a\n  target: /\n  expect: {verdict: denied}\n");
    let (code, out, err) = raspctl(desk.path(), &TEST);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("requests.yaml: requests[0].expect.verdict") && err.contains("line 4"), "{err}");
    fs::write(desk.path().join("policies.yaml"), POLICIES.replace("mode: Block", "mood: Block")).unwrap();
    let (code, _, err) = raspctl(desk.path(), &TEST);
    assert!(code == 1 && err.contains("policies.yaml: document 2: unknown field spec.mood"), "{err}");
    let (code, _, err) = raspctl(desk.path(), &["test", "requests.yaml"]);
    assert!(code == 2 && err.contains("--filename"), "{err}");
}

#[test]
fn a_policy_that_no_cluster_would_have_in_force_is_told() {
    let desk = desk("requests:\n- {name: a, target: /, expect: {verdict: allow}}\n");
    fs::write(desk.path().join("policies.yaml"), POLICIES.replace("mode: Monitor", "mode: Off")).unwrap();
    let (code, out, err) = raspctl(desk.path(), &TEST);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("policies.yaml: spec.mode is Off, which Kubernetes reads as false"), "{err}");
    fs::write(desk.path().join("policies.yaml"), POLICIES).unwrap();
    fs::write(desk.path().join("more.yaml"), POLICIES.replace("name: all", "name: other")).unwrap();
    let (code, _, err) = raspctl(desk.path(), &[&TEST[..], &["-f", "more.yaml"]].concat());
    assert!(
        code == 1 && err.contains("RaspPolicy front is in policies.yaml and again in more.yaml"),
        "{err}"
    );
    let elsewhere =
        POLICIES.replace("{name: front}", "{name: front, namespace: b}").replace("name: all", "name: other");
    fs::write(desk.path().join("more.yaml"), elsewhere).unwrap();
    assert_eq!(raspctl(desk.path(), &[&TEST[..], &["-f", "more.yaml"]].concat()).0, 0);
}

#[test]
fn policies_of_several_namespaces_need_one_to_be_named() {
    let both = POLICIES
        .replace("{name: all}", "{name: all, namespace: a}")
        .replace("{name: front}", "{name: front, namespace: b}");
    let desk = desk("requests:\n- {name: a, target: /, expect: {verdict: allow}}\n");
    fs::write(desk.path().join("policies.yaml"), both).unwrap();
    let (code, _, err) = raspctl(desk.path(), &TEST);
    assert!(code == 1 && err.contains("several namespaces (a, b)"), "{err}");
    let requests = format!(
        "namespace: b\npodLabels: {{app: front}}\nrequests:\n- {{name: a, target: \"{ATTACK}\", expect: {{verdict: block}}}}\n- {{name: b, \
         podLabels: {{}}, target: \"{ATTACK}\", expect: {{verdict: would_block}}}}\n"
    );
    fs::write(desk.path().join("requests.yaml"), requests).unwrap();
    assert_eq!(raspctl(desk.path(), &TEST).0, 0);
}

/// Every kind, and every way in which a policy says what it is for.
const KINDS: &str = "apiVersion: rasp.dev/v1alpha1\nkind: ClusterRaspPolicy\nmetadata: {name: base}\nspec: {namespaceSelector: {matchLabels: {team: shop}}, \
defaults: {mode: Block}}\n---\napiVersion: rasp.dev/v1alpha1\nkind: ClusterRaspPolicy\nmetadata: {name: lever}\nspec: {namespaceSelector: {matchLabels: \
{incident: 'yes'}}, overrides: {mode: Monitor}}\n---\napiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {name: batch}\nspec: {targetRefs: [{kind: \
Deployment, name: batch}], mode: \"Off\"}\n---\napiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {name: admin}\nspec: {targetRefs: [{kind: \
Service, name: web, sectionName: admin}], mode: Monitor}\n---\napiVersion: rasp.dev/v1alpha1\nkind: RaspException\nmetadata: {name: known}\nspec: {rule: \
sqli-tautology, path: /known, parameter: id, reason: r, expiresAt: '2099-01-01T00:00:00Z'}\n";

#[test]
fn every_kind_has_the_precedence_that_it_has_in_a_cluster() {
    let case = |name: &str, more: &str, target: &str, verdict: &str| {
        format!("- {{name: {name}, target: \"{target}\", {more}expect: {{verdict: {verdict}}}}}\n")
    };
    let pod = "podLabels: {app: web}\nservices: [web]\nworkload: Deployment/web\n";
    let known = ATTACK.replacen('/', "/known", 1);
    let shop = format!(
        "namespaceLabels: {{team: shop}}\n{pod}requests:\n{}{}{}{}{}",
        case("defaults", "", ATTACK, "block"),
        case("exception", "", &known, "allow").replace("allow", "allow, exception: RaspException/known"),
        case("port", "port: admin, ", ATTACK, "would_block"),
        case("other-port", "port: http, ", ATTACK, "block"),
        case("workload", "workload: Deployment/batch, ", ATTACK, "allow"),
    );
    let incident = format!(
        "namespaceLabels: {{team: shop, incident: 'yes'}}\n{pod}requests:\n{}{}",
        case("lever", "", ATTACK, "would_block"),
        case("lever-over-workload", "workload: Deployment/batch, ", ATTACK, "would_block"),
    );
    let other = format!("requests:\n{}", case("no-defaults", "", ATTACK, "would_block"));
    for requests in [shop, incident, other] {
        let desk = desk(&requests);
        fs::write(desk.path().join("policies.yaml"), KINDS).unwrap();
        let (code, out, err) = raspctl(desk.path(), &TEST);
        assert_eq!(code, 0, "{requests}\n{out}{err}");
    }
    let desk = desk("requests:\n- {name: a, target: /, expect: {verdict: allow}}\n");
    let endless = KINDS.replace(", expiresAt: '2099-01-01T00:00:00Z'", "");
    fs::write(desk.path().join("policies.yaml"), &endless).unwrap();
    let (code, _, err) = raspctl(desk.path(), &TEST);
    assert!(code == 1 && err.contains("RaspException known: spec.expiresAt is missing"), "{err}");
    fs::write(
        desk.path().join("policies.yaml"),
        endless.replace("defaults: {mode: Block}", "defaults: {}, allowPermanentExceptions: true"),
    )
    .unwrap();
    let (code, _, err) = raspctl(desk.path(), &TEST);
    assert!(code == 1 && err.contains("RaspException known"), "its namespaces are others: {err}");
    fs::write(
        desk.path().join("requests.yaml"),
        "namespaceLabels: {team: shop}\nrequests:\n- {name: a, target: /, expect: {verdict: allow}}\n",
    )
    .unwrap();
    assert_eq!(raspctl(desk.path(), &TEST).0, 0);
}

#[test]
fn the_example_of_every_kind_is_as_it_says() {
    let arguments = [
        "test",
        "-f",
        "manifests/examples/cluster-defaults.yaml",
        "-f",
        "manifests/examples/cluster-overrides.yaml",
        "-f",
        "manifests/examples/one-port.yaml",
        "-f",
        "manifests/examples/rasp-exception.yaml",
        "manifests/tests/kinds.yaml",
        "manifests/tests/incident.yaml",
    ];
    let (code, out, err) = raspctl(&repository(), &arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let pages = fs::read_to_string(repository().join("docs/raspctl.md")).unwrap();
    assert!(pages.contains("manifests/tests/kinds.yaml"));
}

/// Two events of one request, one of another, a line that is none, and a name that would write to the terminal.
const EVENTS: &str = r#"{"level":"INFO","message":"r-1"}
{"time":1795550257916,"disposition":"Blocked","class_uid":2004,"finding_info":{"uid":"r-1-0","title":"the value adds a condition whose result is known in advance"},"http_request":{"http_method":"GET","url":{"path":"/items"}},"src_endpoint":{"ip":"10.0.0.9","port":50000},"dst_endpoint":{"port":8080},"unmapped":{"request_id":"r-1","namespace":"shop","pod":"web-1","workload":"Deployment/web","mode":"Block","verdict":"block","class":"sql_injection","rule":"sqli-tautology","location":{"part":"query","name":"id","offset":1,"length":11,"encodings":["base64"]},"confidence":"Certain","sample":"' or '9'='9","coverage":"full","policy_digest":"sha256:aa","later":{"field":1}}}
{"time":1795550257917,"disposition":"Logged","finding_info":{"title":"x"},"unmapped":{"request_id":"r-2","verdict":"would_block","rule":"a","mode":"Monitor","enforced":false}}
{"time":1795550257915,"disposition":"Blocked","finding_info":{"title":"the head is \u001b[31mno request"},"http_request":{"http_method":"other","url":{}},"src_endpoint":{"ip":"10.0.0.9"},"dst_endpoint":{},"unmapped":{"request_id":"r-1","mode":"Block","verdict":"block","rule":"request_syntax","coverage":"none"}}
"#;

#[test]
fn a_request_is_explained_from_a_file_and_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("events"), EVENTS).unwrap();
    let (code, out, err) = raspctl(folder.path(), &["explain", "r-1", "--from", "events"]);
    assert_eq!(code, 0, "{err}");
    let expected = "Blocked: the head is ?[31mno request\n  request   r-1 at 2026-11-24T19:57:37.915Z";
    assert!(out.starts_with(expected), "in the order of time, without control characters: {out}");
    for says in [
        "decided   by no policy",
        "GET /items, from 10.0.0.9, port 50000 to port 8080",
        "pod       shop/web-1 of Deployment/web",
        "rule      sqli-tautology of class sql_injection, confidence Certain",
        "where     query \"id\", 11 bytes from byte 1, after undoing base64",
        "shape     ' or '9'='9",
        "note      without a cluster it is not known which policy decided",
        "policies  sha256:aa",
        "kind: RaspException\n    metadata:\n      name: sqli-tautology-items-id\n      namespace: shop\n",
        "path: /items",
        "name: web",
    ] {
        assert!(out.contains(says), "{says}: {out}");
    }
    let named = EVENTS.replace(
        r#""dst_endpoint":{"port":8080},"unmapped":{"#,
        r#""dst_endpoint":{"port":8080},"policy":{"name":"RaspPolicy shop/\u001b[31mweb","uid":"u","version":"3"},"unmapped":{"policy_field":"spec.mode","#,
    );
    fs::write(folder.path().join("named"), &named).unwrap();
    let (_, out, _) = raspctl(folder.path(), &["explain", "r-1", "--from", "named"]);
    let said = "decided   spec.mode is Block: RaspPolicy shop/?[31mweb, generation 3, as the event says";
    assert!(out.contains(said) && !out.contains("it is not known which policy"), "{out}");
    let mut child = Command::new(RASPCTL)
        .args(["explain", "r-1", "--from", "-", "-o", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), EVENTS.as_bytes()).unwrap();
    let (code, out, _) = told(child.wait_with_output().unwrap());
    let explained: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, explained.as_array().unwrap().len()), (0, 2));
    assert_eq!(explained[1]["exception"]["spec"]["rule"], "sqli-tautology", "{out}");
    let (code, out, err) = raspctl(folder.path(), &["explain", "r-3", "--from", "events"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("no event of request r-3 in events"), "{err}");
    let (code, _, err) = raspctl(folder.path(), &["explain", "r-3", "--since", "yesterday"]);
    assert!(code == 2 && err.contains("write for example 30m"), "{err}");
    assert_eq!(raspctl(folder.path(), &["explain"]).0, 2, "an id is needed");
}

#[test]
fn called_as_a_plugin_of_kubectl_its_help_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-rasp");
    std::os::unix::fs::symlink(RASPCTL, &plugin).unwrap();
    let (code, out, _) = told(Command::new(&plugin).args(["check", "--help"]).output().unwrap());
    assert!(code == 0 && out.contains("Usage: kubectl rasp check"), "{out}");
    let (code, out, _) = told(Command::new(&plugin).args(["version", "-o", "json"]).output().unwrap());
    assert!(code == 0 && out.contains("clientVersion"), "{out}");
}

#[test]
fn completions_and_pages_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let commands = ["check", "status", "explain", "test", "inject", "uninject", "version"];
    let (code, out, _) = raspctl(folder.path(), &["completion", "kubectl"]);
    assert!(code == 0 && out.contains("exec kubectl-rasp __complete \"$@\""), "{out}");
    let (code, out, _) = raspctl(folder.path(), &["__complete", "status", "--all-n"]);
    assert_eq!((code, out.as_str()), (0, "--all-namespaces\tAll namespaces\n:4\n"));
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = raspctl(folder.path(), &["completion", shell]);
        assert!(code == 0 && commands.iter().all(|command| out.contains(command)), "{shell}");
        assert!(out.contains("junit") && out.contains("probe-namespace"), "{shell}");
    }
    assert_eq!(raspctl(folder.path(), &["man", "pages/man1"]).0, 0);
    let pages = folder.path().join("pages/man1");
    for command in commands {
        assert!(pages.join(format!("raspctl-{command}.1")).is_file(), "{command}");
    }
    assert!(pages.join("raspctl-explain-policy.1").is_file());
}

#[test]
fn a_cluster_that_is_not_there_is_one_line_and_no_hang() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n\
                      clusters: [{name: a, cluster: {server: \"https://127.0.0.1:1\"}}]\nusers: [{name: a, user: {}}]\n";
    fs::write(folder.path().join("config"), kubeconfig).unwrap();
    let (code, out, err) = raspctl(folder.path(), &["check", "--kubeconfig", "config"]);
    assert!(code == 1 && out.contains("fail  kubernetes_version"), "{out}{err}");
    let (code, _, err) = raspctl(folder.path(), &["status", "--kubeconfig", "config"]);
    assert!(
        code == 1 && err.starts_with("raspctl: cannot list namespaces") && err.lines().count() == 1,
        "{err}"
    );
    let (code, _, err) = raspctl(folder.path(), &["explain", "policy", "pod/a", "--kubeconfig", "absent"]);
    assert!(code == 1 && err.starts_with("raspctl: cannot find the cluster"), "{err}");
    assert_eq!(err.matches("No such file").count(), 1, "each cause is told once: {err}");
    let (code, _, err) = raspctl(folder.path(), &["explain", "policy", "deploy/a", "--kubeconfig", "absent"]);
    assert!(code == 1 && err.contains("pod/NAME"), "before any cluster is asked: {err}");
}
