//! `rasp-proxy rules`: every rule of this version with its class and the numbers of lists that people know.
//! Called by `main`. Reads nothing and starts nothing.

use std::fmt::Write as _;

use rasp_engine::Class;
use serde::Serialize;

use crate::cli::RuleFormat;

/// A rule as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Class, as events and metrics name it.
    pub class: &'static str,
    /// Class, as policies name it.
    pub key: &'static str,
    /// Id of the rule.
    pub rule: &'static str,
    /// What it sees, in a sentence.
    pub sees: &'static str,
    /// `CWE-89`.
    pub cwe: Option<String>,
    /// `CAPEC-66`.
    pub capec: Option<String>,
    /// Category of the OWASP Top 10.
    pub owasp: Option<&'static str>,
}

/// Every rule, class by class.
pub fn rows() -> Vec<Row> {
    rasp_engine::rules().map(|(class, rule)| row(class, rule.id.0, rule.reason)).collect()
}

fn row(class: Class, rule: &'static str, sees: &'static str) -> Row {
    Row {
        class: class.as_str(),
        key: class.key(),
        rule,
        sees,
        cwe: class.cwe().map(|number| format!("CWE-{number}")),
        capec: class.capec().map(|number| format!("CAPEC-{number}")),
        owasp: class.owasp(),
    }
}

/// All rules in one of the forms.
pub fn render(format: RuleFormat) -> Result<String, serde_json::Error> {
    let rows = rows();
    Ok(match format {
        RuleFormat::Json => serde_json::to_string_pretty(&rows)? + "\n",
        RuleFormat::Markdown => markdown(&rows),
        RuleFormat::Table => table(&rows),
    })
}

fn markdown(rows: &[Row]) -> String {
    let mut text = String::new();
    for class in rows.chunk_by(|one, other| one.class == other.class) {
        let Some(first) = class.first() else { continue };
        let numbers: Vec<&str> =
            [first.cwe.as_deref(), first.capec.as_deref(), first.owasp].into_iter().flatten().collect();
        let _ = write!(text, "## `{}`\n\nKey `{}`", first.class, first.key);
        let _ = writeln!(text, ", {}.\n\n| rule | what it saw |\n|---|---|", numbers.join(", "));
        for Row { rule, sees, .. } in class {
            let _ = writeln!(text, "| `{rule}` | {sees} |");
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn table(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let or_dash = |cell: Option<&str>| cell.unwrap_or("-").to_owned();
        [
            row.class.to_owned(),
            row.rule.to_owned(),
            or_dash(row.cwe.as_deref()),
            or_dash(row.capec.as_deref()),
            or_dash(row.owasp),
            row.sees.to_owned(),
        ]
    };
    let head = ["CLASS", "RULE", "CWE", "CAPEC", "OWASP", "WHAT IT SEES"].map(str::to_owned);
    let all: Vec<[String; 6]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let mut widths = [0; 6];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    all.iter().fold(String::new(), |mut text, row| {
        let start = text.len();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(text, "{cell:width$}  ");
        }
        text.truncate(text.trim_end().len().max(start));
        text.push('\n');
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_in_every_form() {
        let rows = rows();
        let classes: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.class).collect();
        assert_eq!(classes.len(), Class::detected().count());
        let all = [RuleFormat::Table, RuleFormat::Json, RuleFormat::Markdown];
        let [table, json, markdown] = all.map(|format| render(format).unwrap());
        assert_eq!(table.lines().count(), rows.len() + 1);
        let read: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        assert_eq!(read.len(), rows.len());
        assert_eq!(read[0]["rule"], rows[0].rule);
        for Row { class, rule, sees, .. } in &rows {
            let line = table.lines().find(|line| line.split_whitespace().nth(1) == Some(rule)).unwrap();
            assert!(line.starts_with(class) && line.ends_with(sees), "{line}");
            assert!(markdown.contains(&format!("| `{rule}` | {sees} |\n")), "{rule}");
        }
        assert!(table.contains("CWE-89") && markdown.contains("CWE-89, CAPEC-66, A03:2021."), "{markdown}");
    }

    /// A table of the documentation is what `-o markdown` prints.
    #[test]
    fn the_page_of_rules_has_every_row() {
        let page = include_str!("../../docs/rules.md");
        for Row { rule, sees, .. } in rows() {
            assert!(page.contains(&format!("| `{rule}` | {sees} |")), "docs/rules.md lacks {rule}");
        }
    }
}
