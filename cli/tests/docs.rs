//! What the pages show is so. Every sample of YAML is read and compiled by the code of the cluster, every link leads somewhere, and
//! every metric, annotation and chart value that a page names is there. What an API server says of the samples is tested end to end.
#![expect(clippy::unwrap_used, clippy::panic, reason = "every function here belongs to a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rasp_engine::Ruleset;
use rasp_operator::inject::TUNABLES;
use rasp_policy::bundle::{Bundle, Namespace, SCHEMA_VERSION};
use rasp_policy::document::{self, Object, Spec};
use rasp_policy::precedence::resolve;
use rasp_policy::selector::{Labels, Subject};
use serde_yaml::Value;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every page, by its path in the repository.
fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    for name in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "charts/kube-rasp/README.md"]
    {
        pages.insert(name.to_owned(), fs::read_to_string(repository().join(name)).unwrap());
    }
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(repository().join(&folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{folder}/{}", path.file_name().unwrap().to_string_lossy());
            if path.is_dir() {
                folders.push(name);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    assert!(pages.len() > 40, "only {} pages were found", pages.len());
    pages
}

/// A block of code: where it stands, its language, and its lines without the indentation of the fence.
struct Block {
    place: String,
    language: String,
    text: String,
}

fn blocks(name: &str, page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<usize> = None;
    for (number, line) in page.lines().enumerate() {
        let content = line.trim_start();
        match (content.strip_prefix("```"), open) {
            (Some(language), None) => {
                open = Some(line.len() - content.len());
                let place = format!("{name}:{}", number + 1);
                blocks.push(Block { place, language: language.to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => open = None,
            (None, Some(indent)) => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line.get(indent..).unwrap_or_default());
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{name}: a block of code does not end");
    blocks
}

/// The YAML of a page: blocks of that language, and what a shell is given between `<<EOF` and `EOF`. One document each.
fn samples(name: &str, page: &str) -> Vec<(String, String)> {
    let mut samples = Vec::new();
    for Block { place, language, text } in blocks(name, page) {
        let yaml = if language == "yaml" {
            text
        } else {
            let lines = text.lines().skip_while(|line| !line.contains("<<EOF")).skip(1);
            lines.take_while(|line| line.trim() != "EOF").flat_map(|line| [line, "\n"]).collect()
        };
        let documents = yaml.split("---\n").filter(|document| !document.trim().is_empty());
        samples.extend(documents.map(|document| (place.clone(), document.to_owned())));
    }
    samples
}

/// Samples that are no objects of Kubernetes, by what they begin with.
const OTHERS: [&str; 3] =
    ["- job_name: ", "- id: exploit-", "metadata:\n  annotations:\n    config.rasp.dev/"];

/// A sample as an object of ours; `None` for those of others. What begins with `spec` is shown in part: the spec of a RaspPolicy.
fn ours(place: &str, sample: &str) -> Option<String> {
    let value: Value = serde_yaml::from_str(sample).unwrap_or_else(|error| panic!("{place}: {error}"));
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    match (text("apiVersion"), text("kind")) {
        (Some(version), Some(_)) if version.starts_with("rasp.dev/") => Some(sample.to_owned()),
        (Some(_), Some(_)) => None,
        _ if sample.starts_with("spec:\n") => Some(format!(
            "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {{name: sample}}\n{sample}"
        )),
        _ if OTHERS.iter().any(|other| sample.starts_with(other)) => None,
        _ => panic!(
            "{place}: neither an object of Kubernetes, nor the spec of one, nor a sample of another kind"
        ),
    }
}

/// The API server reads YAML 1.1, in which these words are booleans; our own reader would not notice.
fn boolean(sample: &str) -> Option<&str> {
    const WORDS: [&str; 6] = ["off", "on", "yes", "no", "y", "n"];
    sample.lines().map(|line| line.split(" #").next().unwrap_or_default()).find(|line| {
        line.split(": ").skip(1).any(|rest| {
            let value = rest.split([',', '}', ']']).next().unwrap_or_default();
            WORDS.contains(&value.trim().to_lowercase().as_str())
        })
    })
}

/// Compiles each object as a sidecar that it is for.
fn compile(objects: &[Object]) -> Result<(), String> {
    for object in objects {
        let mut object = object.clone();
        match &mut object.spec {
            Spec::Policy(spec) => (spec.pod_selector, spec.target_refs) = (None, None),
            Spec::Exception(spec) => (spec.pod_selector, spec.target_refs) = (None, None),
            Spec::Cluster(spec) => spec.namespace_selector = None,
        }
        let entries = document::stand_alone(&[object]).map_err(|error| error.to_string())?;
        let namespace = Namespace { name: "shop".to_owned(), uid: String::new() };
        let bundle = Bundle { schema_version: SCHEMA_VERSION, namespace, sequence: 0, entries };
        let effective = resolve(&bundle, Subject { labels: &Labels::new(), workload: "" }).effective;
        Ruleset::check(&effective).map_err(|error| error.to_string())?;
        Ruleset::build(&effective).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[test]
fn every_sample_of_a_policy_on_a_page_is_read_and_compiled() {
    let (mut policies, mut others) = (0, 0);
    for (place, sample) in pages().iter().flat_map(|(name, page)| samples(name, page)) {
        assert_eq!(boolean(&sample), None, "{place}: Kubernetes takes the word for a boolean: quote it");
        let Some(yaml) = ours(&place, &sample) else {
            others += 1;
            continue;
        };
        policies += 1;
        let objects = document::read(&yaml).unwrap_or_else(|error| panic!("{place}: {error}"));
        compile(&objects).unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    assert!(policies > 15 && others > 5, "{policies} samples of policies and {others} of others were found");
}

#[test]
fn a_sample_that_is_wrong_would_be_noticed() {
    let page = "x\n   ```yaml\n   spec: {mode: Off}\n   ---\n   spec:\n     mood: Block\n   ```\n```\nkubectl apply -f - <<EOF\na: b\nEOF\n```\n";
    let samples = samples("page", page);
    let texts: Vec<&str> = samples.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["spec: {mode: Off}\n", "spec:\n  mood: Block\n", "a: b\n"]);
    assert!(boolean(texts[0]).is_some() && boolean("mode: \"Off\"  # off\nreason: no, on\n").is_some());
    assert!(boolean("mode: \"Off\"  # a: off\nreason: no way\n").is_none());
    let error = document::read(&ours("page:2", texts[1]).unwrap()).unwrap_err().to_string();
    assert!(error.contains("spec.mood"), "{error}");
    let late = "apiVersion: rasp.dev/v1alpha1\nkind: RaspException\nmetadata: {name: a}\nspec: {rule: no-such-rule, reason: r, expiresAt: \
                \"2027-06-30T00:00:00Z\"}\n";
    assert!(compile(&document::read(late).unwrap()).is_err());
}

/// The name that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    let kept = kept.filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char.to_ascii_lowercase() }).collect()
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    let mut is_code = false;
    let lines = page.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let anchors: BTreeMap<PathBuf, BTreeSet<String>> = pages()
        .iter()
        .map(|(name, page)| {
            let headings = prose(page);
            let headings = headings.lines().filter(|line| line.starts_with('#'));
            (repository().join(name).canonicalize().unwrap(), headings.map(anchor).collect())
        })
        .collect();
    for (name, page) in pages() {
        for link in prose(&page).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let here = repository().join(&name);
            let target =
                if file.is_empty() { here } else { here.parent().unwrap_or(Path::new("")).join(file) };
            let target = target.canonicalize().unwrap_or_else(|_| panic!("{name}: {link} is not there"));
            if let Some(anchors) = anchors.get(&target).filter(|_| !anchor.is_empty()) {
                assert!(anchors.contains(anchor), "{name}: {link}: there is no such heading");
            }
        }
    }
}

#[test]
fn every_page_is_named_by_the_readme() {
    let pages = pages();
    let readme = pages.get("README.md").unwrap();
    for name in pages.keys().filter(|name| name.starts_with("docs/") && name.matches('/').count() == 1) {
        assert!(readme.contains(&format!("({name}")), "README.md does not say what {name} is for");
    }
}

/// The words of a page that begin so, with what of letters, digits and `rest` follows.
fn words<'a>(page: &'a str, begin: &'static str, rest: &'static [char]) -> impl Iterator<Item = &'a str> {
    page.match_indices(begin).filter_map(move |(at, _)| {
        let before = page.get(..at)?.chars().next_back();
        let text = page.get(at..)?;
        let end = text.find(|char: char| !char.is_ascii_alphanumeric() && !rest.contains(&char));
        before
            .is_none_or(|char| !char.is_ascii_alphanumeric() && !rest.contains(&char))
            .then(|| text.get(..end.unwrap_or(text.len())).unwrap_or_default())
    })
}

#[test]
fn every_metric_that_a_page_names_is_in_the_table() {
    let pages = pages();
    // The table is compared with what is published by tests of proxy and operator.
    let rows = pages.get("docs/metrics.md").unwrap().lines().filter_map(|line| line.strip_prefix("| `rasp_"));
    let known: BTreeSet<String> =
        rows.filter_map(|row| Some(format!("rasp_{}", row.split('`').next()?))).collect();
    for (name, page) in &pages {
        for metric in words(page, "rasp_", &['_']) {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|part| metric.strip_suffix(part));
            // Names of crates in log filters, of tests, and of several metrics.
            let is_other = ["rasp_operator", "rasp_policy", "rasp_pods_"].contains(&metric)
                || metric.starts_with("rasp_exceptions_are_");
            assert!(
                is_other || known.contains(metric) || base.is_some_and(|base| known.contains(base)),
                "{name}: there is no metric {metric}"
            );
        }
    }
}

#[test]
fn every_annotation_of_a_pod_that_a_page_names_is_read() {
    let known: BTreeSet<&str> = TUNABLES.iter().map(|tunable| tunable.key).collect();
    for (name, page) in pages() {
        for key in words(&page, "config.rasp.dev/", &['.', '/', '-']) {
            assert!(
                key == "config.rasp.dev/" || known.contains(key.trim_end_matches('.')),
                "{name}: {key} is never read"
            );
        }
    }
}

#[test]
fn every_setting_of_the_chart_that_a_page_names_is_there() {
    let values = fs::read_to_string(repository().join("charts/kube-rasp/values.yaml")).unwrap();
    let values: Value = serde_yaml::from_str(&values).unwrap();
    let sections = [
        "images.",
        "operator.",
        "proxy.",
        "webhook.",
        "guardRails.",
        "watchdog.",
        "rbac.",
        "metrics.",
        "networkPolicy.",
    ];
    for (name, page) in pages() {
        let page = prose(&page);
        let codes =
            page.split('`').skip(1).step_by(2).map(|code| code.split(['=', ':']).next().unwrap_or_default());
        for code in codes.filter(|code| sections.iter().any(|section| code.starts_with(section))) {
            let is_path = code.chars().all(|char| char.is_ascii_alphanumeric() || char == '.');
            let is_file = [".rs", ".md", ".yaml", ".yml"].iter().any(|ending| code.ends_with(ending));
            if is_path && !is_file {
                let found =
                    code.trim_end_matches('.').split('.').try_fold(&values, |value, key| value.get(key));
                assert!(found.is_some(), "{name}: the chart has no setting {code}");
            }
        }
    }
}
