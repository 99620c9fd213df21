//! The examples on the pages of docs/detection are what the engine says about them.
//!
//! A table with the columns `value` or `parameter`, and `verdict`, is a table of examples. A value is sent as the
//! parameter `v` of a query, a parameter as `name=value`; `%0d` and the like are as they are sent. The verdict is
//! `rule`, and its confidence; or `High at least`, `Medium at most`, `nothing`. Cells without code are prose.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot read")]

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use rasp_engine::{Class, Confidence, Effective, Finding, Head, Ruleset};

/// A page of a class.
struct Page {
    file: String,
    class: Class,
    text: String,
}

/// One row of a page.
struct Example {
    file: String,
    class: Class,
    cell: String,
    target: String,
    verdict: String,
}

fn pages() -> Vec<Page> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/detection");
    let read = |entry: io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let id = text.split_once("\nClass `")?.1.split('`').next()?;
        let class = Class::ALL.into_iter().find(|class| class.as_str() == id).unwrap();
        Some(Page { file: path.file_name()?.to_string_lossy().into_owned(), class, text })
    };
    fs::read_dir(folder).unwrap().filter_map(read).collect()
}

fn examples(page: &Page) -> Vec<Example> {
    let (mut examples, mut name) = (Vec::new(), None);
    for line in page.text.lines() {
        match line {
            "| value | verdict |" => name = Some("v="),
            "| parameter | verdict |" => name = Some(""),
            _ if !line.starts_with('|') => name = None,
            _ => {
                let (Some(name), Some((cell, verdict))) = (name, cells(line)) else { continue };
                let (file, class) = (page.file.clone(), page.class);
                let target = format!("/?{name}{}", sent(&cell, name.is_empty()));
                examples.push(Example { file, class, cell, target, verdict });
            }
        }
    }
    examples
}

/// A value and its verdict; `None` for prose and for the rule below a heading.
fn cells(line: &str) -> Option<(String, String)> {
    let line = line.replace("\\|", "\u{1}");
    let mut cells = line.trim_matches('|').split('|').map(str::trim);
    let value = cells.next()?.strip_prefix('`')?.strip_suffix('`')?.replace('\u{1}', "|");
    Some((value, cells.next()?.to_owned()))
}

/// Percent-encodes what a client would, and leaves what is encoded; `named` leaves the first `=` as well.
fn sent(value: &str, named: bool) -> String {
    let equals = value.find('=').filter(|_| named);
    value.bytes().enumerate().fold(String::new(), |mut sent, (at, byte)| {
        let plain =
            byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'-' | b'.' | b'_' | b'[' | b']' | b'$');
        let _ = if plain || equals == Some(at) {
            write!(sent, "{}", char::from(byte))
        } else {
            write!(sent, "%{byte:02X}")
        };
        sent
    })
}

/// The surest finding of the class.
fn surest(ruleset: &Ruleset, example: &Example) -> Option<Finding> {
    let target = example.target.as_bytes();
    let head = Head { method: "GET", target, content_type: None, content_encoding: None, fields: &() };
    let findings = ruleset.decide(ruleset.inspect_head(&head)).findings;
    findings
        .into_iter()
        .filter(|finding| finding.class == example.class)
        .max_by_key(|finding| finding.confidence)
}

fn holds(verdict: &str, finding: Option<&Finding>) -> bool {
    let confidence = finding.map(|finding| finding.confidence);
    match verdict {
        "nothing" => finding.is_none(),
        "High at least" => confidence >= Some(Confidence::High),
        "Medium at most" => confidence < Some(Confidence::High),
        _ => finding.is_some_and(|finding| {
            let said = format!("`{}`, {:?}", finding.rule, finding.confidence);
            verdict == said || verdict == format!("{:?}", finding.confidence)
        }),
    }
}

#[test]
fn the_examples_of_the_pages_are_what_the_engine_says() {
    let ruleset = Ruleset::build(&Effective::builtin_blocking()).unwrap();
    let examples: Vec<Example> = pages().iter().flat_map(examples).collect();
    assert!(examples.len() > 100, "{} examples", examples.len());
    let wrong: Vec<String> = examples
        .iter()
        .filter_map(|example| {
            let finding = surest(&ruleset, example);
            let said = finding.as_ref().map(|finding| (finding.rule, finding.confidence));
            let Example { file, cell, verdict, .. } = example;
            (!holds(verdict, finding.as_ref())).then(|| format!("{file}: {cell}: {verdict}, not {said:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_class_with_a_detector_has_a_page() {
    let pages = pages();
    for class in Class::detected() {
        assert!(pages.iter().any(|page| page.class == class), "{}: no page", class.as_str());
    }
}
