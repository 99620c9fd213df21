//! What came out of a test: a table for people, JUnit XML for pipelines, a document for programs. Pure.

use std::io::Write;

use rasp_engine::{Coverage, Finding, Judgement, Outcome};
use serde::Serialize;

use super::file::{Expect, Request};
use crate::print::{Colour, Paint};

/// The requests of a file.
#[derive(Debug, Serialize)]
pub struct Suite {
    /// The file.
    pub file: String,
    /// How many were judged otherwise than expected.
    pub failures: usize,
    /// Each request.
    pub cases: Vec<Case>,
}

/// A request.
#[derive(Debug, Serialize)]
pub struct Case {
    /// What it is.
    pub name: String,
    /// The judgement.
    pub verdict: &'static str,
    /// Status of the answer, where it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `full`, or why not all of it was inspected.
    pub coverage: &'static str,
    /// What was found.
    pub findings: Vec<Found>,
    /// In what it is not as expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<String>,
}

/// A finding.
#[derive(Debug, Serialize)]
pub struct Found {
    /// Attack class.
    pub class: &'static str,
    /// Rule.
    pub rule: &'static str,
    /// How sure the rule is.
    pub confidence: &'static str,
    /// Part of the message.
    pub part: &'static str,
    /// Name of the parameter.
    pub parameter: String,
    /// The exception that it falls under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
}

impl Suite {
    /// Counts the cases.
    pub fn of(file: &str, cases: Vec<Case>) -> Self {
        let failures = cases.iter().filter(|case| case.mismatch.is_some()).count();
        Self { file: file.to_owned(), failures, cases }
    }
}

/// Compares a judgement with what is expected.
pub fn case(request: &Request, judgement: &Judgement) -> Case {
    let plain = judgement.findings.iter().map(|finding| found(finding, None));
    let excepted = judgement
        .excepted
        .iter()
        .map(|excepted| found(&excepted.finding, Some(excepted.exception.to_string())));
    let findings: Vec<Found> = plain.chain(excepted).collect();
    let verdict = judgement.verdict.as_str();
    Case {
        name: request.name.clone(),
        verdict,
        status: match judgement.outcome {
            Outcome::Refuse(refusal) => Some(refusal.status),
            Outcome::Forward(_) => None,
        },
        coverage: match judgement.coverage {
            Coverage::Full => "full",
            Coverage::Partial(reason) => reason.id(),
        },
        mismatch: mismatch(&request.expect, verdict, &findings),
        findings,
    }
}

fn found(finding: &Finding, exception: Option<String>) -> Found {
    Found {
        class: finding.class.as_str(),
        rule: finding.rule.0,
        confidence: finding.confidence.as_str(),
        part: finding.location.part.as_str(),
        parameter: finding.location.name.clone(),
        exception,
    }
}

fn mismatch(expect: &Expect, verdict: &str, findings: &[Found]) -> Option<String> {
    let mut wrong = Vec::new();
    if expect.verdict.as_str() != verdict {
        wrong.push(format!("expected {}, is {verdict}", expect.verdict.as_str()));
    }
    if let Some(rule) = &expect.rule
        && !findings.iter().any(|found| found.rule == rule)
    {
        wrong.push(format!("expected a finding of rule {rule}"));
    }
    if let Some(class) = expect.class
        && !findings.iter().any(|found| found.class == class.as_str())
    {
        wrong.push(format!("expected a finding of class {}", class.as_str()));
    }
    if let Some(exception) = &expect.exception
        && !findings.iter().any(|found| found.exception.as_ref() == Some(exception))
    {
        wrong.push(format!("expected a finding under exception {exception}"));
    }
    if wrong.is_empty() {
        return None;
    }
    Some(format!("{}; found: {}", wrong.join(", "), summary(findings)))
}

fn summary(findings: &[Found]) -> String {
    let one = |found: &Found| {
        let Found { rule, confidence, part, parameter, exception, .. } = found;
        let exception = exception.as_ref().map(|id| format!(", excepted by {id}")).unwrap_or_default();
        format!("{rule} ({confidence}, {part} {parameter}{exception})")
    };
    if findings.is_empty() {
        "nothing".to_owned()
    } else {
        findings.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// One line for each request.
pub fn tell(out: &mut dyn Write, suites: &[Suite], paint: Paint) -> std::io::Result<()> {
    for Suite { file, cases, .. } in suites {
        writeln!(out, "{file}")?;
        let width = cases.iter().map(|case| case.name.chars().count()).max().unwrap_or(0);
        for case in cases {
            let word = match case.mismatch {
                None => paint.text(Colour::Green, "pass"),
                Some(_) => paint.text(Colour::Red, "FAIL"),
            };
            let rest = case.mismatch.clone().unwrap_or_else(|| {
                if case.findings.is_empty() { String::new() } else { summary(&case.findings) }
            });
            let line = format!("  {word}  {:<width$}  {:<11}  {rest}", case.name, case.verdict);
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    let (all, failed) = (
        suites.iter().map(|suite| suite.cases.len()).sum::<usize>(),
        suites.iter().map(|suite| suite.failures).sum::<usize>(),
    );
    let requests = if all == 1 { "request" } else { "requests" };
    writeln!(out, "{all} {requests}, {failed} not as expected")
}

/// The results in the form that pipelines read (testsuites, testsuite, testcase, failure).
pub fn junit(suites: &[Suite]) -> String {
    use std::fmt::Write as _;
    let all: usize = suites.iter().map(|suite| suite.cases.len()).sum();
    let failed: usize = suites.iter().map(|suite| suite.failures).sum();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, "<testsuites name=\"raspctl test\" tests=\"{all}\" failures=\"{failed}\">");
    for Suite { file, failures, cases } in suites {
        let file = escaped(file);
        let _ =
            writeln!(xml, "  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{failures}\">", cases.len());
        for case in cases {
            let name = escaped(&case.name);
            let _ = write!(xml, "    <testcase classname=\"{file}\" name=\"{name}\"");
            let _ = match &case.mismatch {
                None => writeln!(xml, "/>"),
                Some(mismatch) => {
                    let mismatch = escaped(mismatch);
                    writeln!(
                        xml,
                        ">\n      <failure message=\"{mismatch}\">verdict {}, coverage {}</failure>\n    </testcase>",
                        case.verdict, case.coverage
                    )
                }
            };
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// XML has no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            char if char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}') => escaped.push('?'),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn no_name_breaks_the_xml() {
        assert_eq!(escaped("a<b>&\"c\"\u{1}\n"), "a&lt;b&gt;&amp;&quot;c&quot;??");
    }
}
