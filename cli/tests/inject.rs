//! `raspctl inject` and `uninject` as their users run them: a process, files, standard input.
#![expect(clippy::unwrap_used, reason = "every function here belongs to a test")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::Deserialize as _;
use serde_json::Value;

const SETTINGS: &str = "proxyImage: rasp/proxy:1\npullPolicy: IfNotPresent\noperatorUrl: https://kube-rasp-operator.kube-rasp.svc:443\n\
operatorCaPem: |\n  -----BEGIN CERTIFICATE-----\n  AAAA\n  -----END CERTIFICATE-----\npublicKeys: [\"a2V5\"]\nresources:\n  cpuRequest: 20m\n  cpuLimit: \"1\"\n  memoryRequest: 32Mi\n  memoryLimit: 128Mi\n";

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("settings"), SETTINGS).unwrap();
        Self { folder }
    }

    fn raspctl(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_raspctl"))
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let _ = writer.join().unwrap();
        output
    }

    /// Exit code, stdout and stderr.
    fn inject(&self, input: &str, more: &[&str]) -> (i32, String, String) {
        let arguments = [&["inject", "--settings", "settings", "-f", "-"], more].concat();
        told(&self.raspctl(&arguments, input))
    }

    fn uninject(&self, input: &str) -> (i32, String, String) {
        told(&self.raspctl(&["uninject", "-f", "-"], input))
    }
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap()).collect()
}

const DEPLOYMENT: &str = r#"# The shop.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # its name
  namespace: shop
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    # What runs.
    metadata:
      labels:
        app: web
    spec:
      # Two containers.
      containers:
      - name: web
        image: "web:1"
        command: ["sh", '-c', 'echo "---"']
        ports: [{containerPort: 0x1F90, name: http}]
        volumeMounts:
        - {name: data, mountPath: /data}
      - name: log
        image: log:1
        args:
        - |
          # no comment
          two
      # The data.
      volumes:
      - name: data
        secret: {secretName: s, defaultMode: 0644}
      terminationGracePeriodSeconds: 30
"#;

/// Manifests in all sorts of styles; each is injected.
fn injectable() -> Vec<(&'static str, String)> {
    let pod = |spec: &str| format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n{spec}");
    vec![
        ("a deployment with comments and odd numbers", DEPLOYMENT.to_owned()),
        ("without a last newline", pod("spec:\n  containers:\n  - name: a\n    image: a:1")),
        ("windows line ends", DEPLOYMENT.replace('\n', "\r\n")),
        ("spec first", "spec:\n  containers:\n  - name: a\nkind: Pod\napiVersion: v1\nmetadata:\n  name: p\n".to_owned()),
        ("JSON", r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"a"}]}}"#.to_owned()),
        ("JSON with lists that are there", r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","annotations":{"a":"b"}},
          "spec":{"initContainers":[{"name":"i"}],"volumes":[{"name":"v","emptyDir":{}}],"containers":[{"name":"a"}]}}"#.to_owned()),
        ("flow style inside of block style", pod("spec: {containers: [{name: a}], volumes: [{name: v, emptyDir: {}}]}\n")),
        ("init containers, volumes and annotations", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    # why\n    a: b\nspec:\n  initContainers:\n  # first\n  - name: i\n    image: i:1\n  containers:\n  - name: a\n  volumes:\n    # data\n    - name: v\n      emptyDir: {}\n".to_owned()),
        ("a template without metadata", "apiVersion: apps/v1\nkind: DaemonSet\nmetadata:\n  name: d\nspec:\n  template:\n    spec:\n      containers:\n        - name: a\n".to_owned()),
        ("volumes at the end", pod("spec:\n  containers:\n  - name: a\n  volumes:\n  - name: v\n    configMap:\n      name: c\n      items:\n      - key: k\n        path: p\n\n  # the end\n")),
        ("a list", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: p\n  spec:\n    containers:\n    - name: a\n- apiVersion: batch/v1\n  kind: Job\n  metadata: {name: j}\n  spec:\n    template:\n      spec:\n        containers: [{name: b}]\n        restartPolicy: Never\n".to_owned()),
        ("a list of one kind", "apiVersion: v1\nkind: PodList\nitems:\n- metadata:\n    name: p\n  spec:\n    containers:\n    - name: a\n".to_owned()),
        ("a list of Deployments", "apiVersion: apps/v1\nkind: DeploymentList\nitems:\n- metadata: {name: d}\n  spec:\n    template:\n      spec:\n        containers: [{name: b}]\n".to_owned()),
        ("a directive", format!("%YAML 1.2\n---\n{}", pod("spec:\n  containers:\n  - name: a\n"))),
        ("other letters", pod("  annotations: {ü: \"é\"}\nspec:\n  containers:\n  - name: a\n    args: [\"日本\"]\n")),
    ]
}

#[test]
fn uninject_gives_back_what_inject_was_given_byte_for_byte() {
    let desk = Desk::new();
    for (name, manifest) in injectable() {
        let (code, injected, said) = desk.inject(&manifest, &[]);
        assert_eq!(code, 0, "{name}: {said}");
        assert!(said.contains(": injected as "), "{name}: {said}");
        assert!(injected.contains("rasp-init"), "{name}");
        let (code, original, said) = desk.uninject(&injected);
        assert_eq!((code, &original), (0, &manifest), "{name}: {said}\n{injected}");
        assert!(said.contains(": uninjected"), "{name}: {said}");
    }
}

#[test]
fn added_lines_end_as_those_of_the_file_do() {
    let desk = Desk::new();
    let (code, injected, said) = desk.inject(&DEPLOYMENT.replace('\n', "\r\n"), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(injected.contains("BEGIN CERTIFICATE"), "{injected}");
    assert_eq!(injected.matches('\n').count(), injected.matches("\r\n").count(), "{injected:?}");
    assert_eq!(documents(&injected), documents(&desk.inject(DEPLOYMENT, &[]).1), "it means the same");
}

#[test]
fn injecting_twice_equals_injecting_once() {
    let desk = Desk::new();
    for (name, manifest) in injectable() {
        let (_, once, _) = desk.inject(&manifest, &[]);
        let (code, twice, said) = desk.inject(&once, &[]);
        assert_eq!((code, twice), (0, once), "{name}");
        assert!(said.contains("skipped, already_injected"), "{name}: {said}");
    }
}

#[test]
fn every_line_of_the_author_is_still_there_in_its_order_and_the_containers_are_what_they_were() {
    let desk = Desk::new();
    let (_, injected, _) = desk.inject(DEPLOYMENT, &[]);
    let mut lines = injected.lines();
    for line in DEPLOYMENT.lines() {
        assert!(lines.any(|new| new == line), "{line:?} is gone or moved in\n{injected}");
    }
    let (before, after) = (documents(DEPLOYMENT), documents(&injected));
    let containers = |documents: &[Value]| documents[0].pointer("/spec/template/spec/containers").cloned();
    assert_eq!(containers(&before), containers(&after));
    let names = |pointer: &str| -> Vec<String> {
        let list = after[0].pointer(pointer).unwrap().as_array().unwrap();
        list.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/spec/template/spec/initContainers"), ["rasp-init", "rasp-proxy"]);
    assert_eq!(names("/spec/template/spec/volumes"), ["rasp-config", "rasp-run", "data"]);
    let env = after[0].pointer("/spec/template/spec/initContainers/1/env").unwrap().as_array().unwrap();
    let workload = env.iter().find(|variable| variable["name"] == "RASP_WORKLOAD").unwrap();
    assert_eq!(workload["value"], "Deployment/web");
    let ca = env.iter().find(|variable| variable["name"] == "RASP_OPERATOR_CA").unwrap();
    assert_eq!(ca["value"], "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
}

#[test]
fn every_object_has_a_line_that_says_what_became_of_it() {
    let desk = Desk::new();
    let pod =
        |name: &str, more: &str| format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n{more}");
    // Manifest, exit code, and the line.
    let rows = [
        ("apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n".to_owned(), 0, "service/s: skipped, no_pods: "),
        (pod("h", "spec:\n  hostNetwork: yes\n  containers: []\n"), 0, "pod/h: skipped, host_network: "),
        (pod("o", "  labels: {rasp.dev/inject: \"false\"}\nspec:\n  containers: []\n"), 0, "pod/o: skipped, opted_out: "),
        (pod("u", "spec:\n  securityContext: {runAsUser: 62102}\n  containers: []\n"), 1, "pod/u: REFUSED, own_uid_in_use: spec.securityContext.runAsUser"),
        (pod("x", ""), 1, "pod/x: REFUSED, malformed_pod: "),
        ("apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: c\nspec:\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          containers:\n          - name: a\n".to_owned(), 0, "cronjob/c: skipped, cron_job: "),
        ("a: [\n".to_owned(), 1, "document: REFUSED, no_yaml: line "),
        ("x: 1\n".to_owned(), 0, "document: skipped, no_object: "),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata:\n  name: r\nspec:\n  template:\n    spec:\n      containers:\n      - name: a\n".to_owned(), 0, "rollout/r: skipped, unknown_kind: NOT PROTECTED"),
        ("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Values.name }}\nspec:\n  containers:\n  - name: a\n".to_owned(), 1, "pod: REFUSED, no_name: "),
        (pod("d", "spec:\n  containers: []\nspec:\n  containers: []\n"), 1, "document: REFUSED, no_yaml: line 7: spec is there for the second time"),
        (pod("a", "  labels: {rasp.dev/inject: maybe}\nspec:\n  containers:\n  - name: a\n"),
            0,
            "pod/a: warning: label rasp.dev/inject "),
    ];
    for (manifest, expected, line) in rows {
        let (code, out, said) = desk.inject(&manifest, &[]);
        assert_eq!(code, expected, "{manifest}: {said}");
        assert!(said.contains(line), "{said} lacks {line}");
        assert_eq!(out == manifest, !said.contains("injected as"), "{out}");
    }
}

#[test]
fn what_is_refused_does_not_keep_the_rest_from_being_injected() {
    let desk = Desk::new();
    let bad = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: bad\n  annotations:\n    config.rasp.dev/opaque-prots: \"1\"\nspec:\n  containers:\n  - name: a\n";
    let (code, out, said) = desk.inject(&format!("{bad}---\n{DEPLOYMENT}"), &[]);
    assert_eq!(code, 1);
    assert!(out.starts_with(bad) && out.contains("rasp-proxy"), "{out}");
    assert!(said.contains("pod/bad: REFUSED, invalid_annotation: "), "{said}");
    assert!(said.contains("deployment/web: injected as Deployment/web"), "{said}");
}

#[test]
fn the_manifest_of_a_namespace_says_how_its_pods_are_asked_for() {
    let desk = Desk::new();
    let opted_out =
        DEPLOYMENT.replace("app: web\n    spec", "app: web\n        rasp.dev/inject: \"false\"\n    spec");
    let namespace = |label: &str| {
        format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels: {label}\n---\n")
    };
    for (label, line) in [
        ("{rasp.dev/inject: enforced}", "deployment/web: injected"),
        ("{rasp.dev/inject: enabled}", "deployment/web: skipped, opted_out"),
        ("{rasp.dev/inject: disabled}", "deployment/web: skipped, opted_out"),
        (
            "{rasp.dev/inject: enforced, pod-security.kubernetes.io/enforce: restricted}",
            "deployment/web: warning: interception None",
        ),
    ] {
        // The order of files and documents does not matter.
        for text in [namespace(label) + &opted_out, format!("{opted_out}---\n{}", namespace(label))] {
            let (code, _, said) = desk.inject(&text, &[]);
            assert!(code == 0 && said.contains(line), "{label}: {said}");
        }
    }
    let (_, _, said) = desk.inject(&opted_out, &["--level", "enforced"]);
    assert!(said.contains("deployment/web: injected"), "{said}");
}

#[test]
fn the_failure_mode_is_the_one_that_was_asked_for() {
    let desk = Desk::new();
    for (more, expected) in [(&[][..], "Open"), (&["--failure-mode", "Closed"][..], "Closed")] {
        let (_, out, _) = desk.inject(DEPLOYMENT, more);
        assert!(
            out.contains(&format!("- name: RASP_FAILURE_MODE\n            value: {expected}\n")),
            "{out}"
        );
    }
}

#[test]
fn a_folder_is_all_of_its_manifests_and_a_difference_is_what_patch_understands() {
    let desk = Desk::new();
    let folder = desk.folder.path().join("app");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("b.yaml"), DEPLOYMENT).unwrap();
    fs::write(folder.join("a.yml"), "apiVersion: v1\nkind: Service\nmetadata:\n  name: s").unwrap();
    fs::write(folder.join("notes.txt"), "no manifest: [").unwrap();
    let (code, out, said) = told(&desk.raspctl(&["inject", "--settings", "settings", "-f", "app"], ""));
    assert_eq!(code, 0, "{said}");
    assert_eq!(documents(&out).len(), 2);
    assert!(
        out.starts_with("apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n---\n# The shop."),
        "{out}"
    );
    let (_, difference, _) =
        told(&desk.raspctl(&["inject", "--settings", "settings", "--diff", "-f", "app"], ""));
    let removed: Vec<&str> =
        difference.lines().filter(|line| line.starts_with('-') && !line.starts_with("---")).collect();
    assert_eq!(removed, Vec::<&str>::new(), "a line of the author's is gone");
    assert!(difference.contains("--- a/app/b.yaml\n+++ b/app/b.yaml\n@@ "), "{difference}");
    assert!(difference.contains("\n+        - name: rasp-init\n"), "{difference}");
}

#[test]
fn a_wrong_file_or_flag_is_told_by_name() {
    let desk = Desk::new();
    for (arguments, code, text) in [
        (&["inject", "--settings", "nowhere", "-f", "-"][..], 1, "cannot read nowhere"),
        (&["inject", "--settings", "settings", "-f", "missing.yaml"], 1, "cannot read missing.yaml"),
        (&["inject", "--settings", "settings"], 2, "--filename <FILE>"),
        (
            &["inject", "--settings", "settings", "-f", "-", "--level", "maybe"],
            2,
            "[possible values: enabled, enforced, object]",
        ),
        (&["uninject"], 2, "--filename <FILE>"),
    ] {
        let (is, _, said) = told(&desk.raspctl(arguments, ""));
        assert_eq!(is, code, "{arguments:?}: {said}");
        assert!(said.contains(text), "{arguments:?}: {said}");
    }
    fs::write(desk.folder.path().join("settings"), SETTINGS.replace("proxyImage", "image")).unwrap();
    let (code, _, said) = desk.inject(DEPLOYMENT, &[]);
    assert!(
        code == 1 && said.contains("settings does not hold settings") && said.contains("`image`"),
        "{said}"
    );
}

/// The cases that the webhook is tested with.
fn golden() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../operator/tests/golden");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_str().unwrap().ends_with(".pod.yaml")).collect()
}

#[test]
fn every_golden_pod_is_injected_as_by_the_webhook_or_not_at_all_and_comes_back() {
    let desk = Desk::new();
    let mut injected = 0;
    for path in golden() {
        let text = fs::read_to_string(&path).unwrap();
        if !text.contains("kind: Pod") {
            continue;
        }
        let (_, out, said) = desk.inject(&text, &[]);
        let (_, back, _) = desk.uninject(&out);
        let name = path.file_name().unwrap().to_str().unwrap();
        if said.contains("injected as") {
            injected += 1;
            // Empty lists, and a status that is not ours to keep.
            if !["null-maps-and-lists.pod.yaml", "status-somebody-wrote.pod.yaml"].contains(&name) {
                assert_eq!(back, text, "{name}: {said}");
            }
        } else {
            assert_eq!(out, text, "{name}: {said}");
        }
    }
    assert!(injected > 30, "only {injected} of the golden cases are injected");
}

#[test]
fn there_are_completions_for_three_shells_and_manual_pages() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = told(&desk.raspctl(&["completion", shell], ""));
        assert!(code == 0 && out.contains("uninject"), "{shell}");
    }
    let folder = desk.folder.path().to_str().unwrap().to_owned();
    let (code, _, said) = told(&desk.raspctl(&["man", &folder], ""));
    assert_eq!(code, 0, "{said}");
    let page = fs::read_to_string(desk.folder.path().join("raspctl-inject.1")).unwrap();
    assert!(page.contains("--settings") || page.contains("\\-\\-settings"), "{page}");
}
