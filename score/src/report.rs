//! Writes the tables, for people and for programs, and lists what was judged wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::corpus::Label;
use crate::part::{Minimum, PARTS, Part};
use crate::tally::{Corpus, Judge, Rate, Request, Tally, number};

/// Writes `latest.md`, `latest.json`, `missed.tsv` and `false-positives.tsv`; how many minimums are missed.
pub fn write(folder: &Path, corpora: &[Corpus]) -> anyhow::Result<usize> {
    fs::create_dir_all(folder)?;
    let by_gateway =
        corpora.iter().flat_map(|corpus| &corpus.judged).any(|request| request.gateway.is_some());
    let judges: &[Judge] = if by_gateway { &[Judge::Engine, Judge::Gateway] } else { &[Judge::Engine] };
    let mut text = String::new();
    let mut missed = 0;
    for judge in judges {
        writeln!(text, "## {judge:?}\n")?;
        corpora_table(&mut text, corpora, *judge)?;
        missed += minimums_table(&mut text, corpora, *judge)?;
    }
    categories_table(&mut text, corpora)?;
    precision_table(&mut text, corpora)?;
    rules_table(&mut text, corpora)?;
    fs::write(folder.join("latest.md"), &text)?;
    fs::write(folder.join("latest.json"), serde_json::to_vec_pretty(&document(corpora, judges))?)?;
    list(&folder.join("missed.tsv"), corpora, Label::Attack)?;
    list(&folder.join("false-positives.tsv"), corpora, Label::Benign)?;
    println!("{text}");
    println!("{}: tables; missed.tsv, false-positives.tsv: what was judged wrong", folder.display());
    Ok(missed)
}

fn corpora_table(text: &mut String, corpora: &[Corpus], judge: Judge) -> anyhow::Result<()> {
    text.push_str(
        "| corpus | attacks refused | 95 % | benign refused | 95 % | balanced accuracy | us/request |\n",
    );
    text.push_str("|---|--:|--:|--:|--:|--:|--:|\n");
    let everything = corpora.iter().flat_map(|corpus| &corpus.judged).collect::<Vec<_>>();
    let rows = corpora.iter().map(|corpus| (corpus.name.as_str(), corpus.judged.iter().collect::<Vec<_>>()));
    for (name, requests) in rows.chain([("all", everything)]) {
        let tally = Tally::of(requests.iter().copied(), judge);
        let (recall, wrong) = (both(tally.recall()), both(tally.false_positive_rate()));
        let accuracy = percent(tally.balanced_accuracy());
        writeln!(text, "| {name} | {recall} | {wrong} | {accuracy} | {} |", micros(&requests))?;
    }
    text.push('\n');
    Ok(())
}

fn both(rate: Rate) -> String {
    let interval = match rate.interval() {
        Some((low, high)) => format!("{low:.2} to {high:.2}"),
        None => "-".to_owned(),
    };
    format!("{} of {} = {} | {interval}", rate.some, rate.of, percent(rate.percent()))
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{share:.2} %"))
}

fn micros(requests: &[&Request]) -> String {
    let times = requests.iter().filter_map(|request| request.engine.as_ref()).map(|judged| judged.took);
    let count = times.clone().count();
    if count == 0 {
        return "-".to_owned();
    }
    format!("{:.1}", times.map(|time| time.as_secs_f64()).sum::<f64>() * 1e6 / number(count))
}

fn part_tally(corpora: &[Corpus], part: &Part, judge: Judge) -> Option<Rate> {
    let corpus = corpora.iter().find(|corpus| corpus.name == part.corpus)?;
    let tally = Tally::of(corpus.judged.iter().filter(|request| part.contains(&request.record)), judge);
    Some(match part.minimum {
        Minimum::Refused(_) => tally.recall(),
        Minimum::FalsePositives(_) => tally.false_positive_rate(),
    })
}

fn minimums_table(text: &mut String, corpora: &[Corpus], judge: Judge) -> anyhow::Result<usize> {
    text.push_str("| corpus | part | asked | refused | 95 % | |\n|---|---|--:|--:|--:|---|\n");
    let mut missed = 0;
    for part in PARTS {
        let Some(rate) = part_tally(corpora, part, judge) else { continue };
        let share = rate.percent().unwrap_or(0.0);
        let (asked, met) = match part.minimum {
            Minimum::Refused(asked) => (format!(">= {asked} %"), share >= asked),
            Minimum::FalsePositives(asked) => (format!("<= {asked} %"), share <= asked),
        };
        missed += usize::from(!met);
        let met = if met { "met" } else { "**missed**" };
        writeln!(text, "| {} | {} | {asked} | {} | {met} |", part.corpus, part.name, both(rate))?;
    }
    text.push('\n');
    Ok(missed)
}

fn categories_table(text: &mut String, corpora: &[Corpus]) -> anyhow::Result<()> {
    text.push_str("## Categories (engine)\n\n| corpus | category | attacks refused | benign refused |\n|---|---|--:|--:|\n");
    for corpus in corpora {
        let mut categories = BTreeMap::<&str, Vec<&Request>>::new();
        for request in &corpus.judged {
            categories.entry(&request.record.category).or_default().push(request);
        }
        for (category, requests) in categories {
            let tally = Tally::of(requests.into_iter(), Judge::Engine);
            let share = |rate: Rate| format!("{} of {} = {}", rate.some, rate.of, percent(rate.percent()));
            let (recall, wrong) = (share(tally.recall()), share(tally.false_positive_rate()));
            writeln!(text, "| {} | {category} | {recall} | {wrong} |", corpus.name)?;
        }
    }
    text.push('\n');
    Ok(())
}

/// Requests by the surest finding of each class that they have.
fn precision_table(text: &mut String, corpora: &[Corpus]) -> anyhow::Result<()> {
    let mut counts = BTreeMap::<_, (usize, usize)>::new();
    for request in corpora.iter().flat_map(|corpus| &corpus.judged) {
        let mut surest = BTreeMap::new();
        for finding in request.engine.iter().flat_map(|judged| &judged.findings) {
            let confidence = surest.entry(finding.class).or_insert(finding.confidence);
            *confidence = finding.confidence.max(*confidence);
        }
        for key in surest {
            let (attacks, benign) = counts.entry(key).or_default();
            *(if request.record.label == Label::Attack { attacks } else { benign }) += 1;
        }
    }
    text.push_str("## Precision of each level (engine)\n\n| class | confidence | attacks | benign | precision |\n|---|---|--:|--:|--:|\n");
    for ((class, confidence), (attacks, benign)) in counts {
        let rate = Rate { some: attacks, of: attacks + benign };
        writeln!(
            text,
            "| {} | {confidence:?} | {attacks} | {benign} | {} |",
            class.as_str(),
            percent(rate.percent())
        )?;
    }
    text.push('\n');
    Ok(())
}

/// Requests in which a rule found something, refused or not.
fn rules_table(text: &mut String, corpora: &[Corpus]) -> anyhow::Result<()> {
    let mut counts = BTreeMap::<_, (usize, usize)>::new();
    for request in corpora.iter().flat_map(|corpus| &corpus.judged) {
        let findings = request.engine.iter().flat_map(|judged| &judged.findings);
        let mut rules = findings.map(|finding| (finding.rule.0, finding.confidence)).collect::<Vec<_>>();
        rules.sort_unstable();
        rules.dedup();
        for rule in rules {
            let (attacks, benign) = counts.entry(rule).or_default();
            *(if request.record.label == Label::Attack { attacks } else { benign }) += 1;
        }
    }
    text.push_str("## Rules (engine)\n\n| rule | confidence | attacks | benign |\n|---|---|--:|--:|\n");
    for ((rule, confidence), (attacks, benign)) in counts {
        writeln!(text, "| {rule} | {confidence:?} | {attacks} | {benign} |")?;
    }
    text.push('\n');
    Ok(())
}

/// One line for each request that was judged wrong: corpus, category, who was wrong, rules, identifier, request.
fn list(file: &Path, corpora: &[Corpus], label: Label) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for corpus in corpora {
        for request in corpus.judged.iter().filter(|request| request.record.label == label) {
            let wrong =
                |judge| request.is_refused(judge).is_some_and(|refused| refused != (label == Label::Attack));
            let judges = match (wrong(Judge::Engine), wrong(Judge::Gateway)) {
                (false, false) => continue,
                (true, false) => "engine",
                (false, true) => "gateway",
                (true, true) => "both",
            };
            let findings = request.engine.iter().flat_map(|judged| &judged.findings);
            let mut rules = findings
                .map(|finding| format!("{}:{:?}:{}", finding.rule, finding.confidence, finding.location.name))
                .collect::<Vec<_>>();
            rules.sort();
            rules.dedup();
            let payload = request.record.notes.get("payload").and_then(Value::as_str).map(str::to_owned);
            let shown = match payload {
                Some(payload) => payload,
                None => String::from_utf8_lossy(&request.record.wire()?).into_owned(),
            };
            let shown = shown.chars().take(600).collect::<String>().escape_debug().to_string();
            let (name, category) = (&corpus.name, &request.record.category);
            lines.push(format!(
                "{name}\t{category}\t{judges}\t{}\t{}\t{shown}",
                rules.join(","),
                request.record.id
            ));
        }
    }
    lines.sort();
    let mut file = fs::File::create(file)?;
    for line in lines {
        writeln!(file, "{line}")?;
    }
    Ok(())
}

fn document(corpora: &[Corpus], judges: &[Judge]) -> Value {
    let rate = |rate: Rate| json!({"some": rate.some, "of": rate.of, "percent": rate.percent(), "interval": rate.interval()});
    let tally = |tally: Tally| {
        json!({
            "recall": rate(tally.recall()),
            "falsePositiveRate": rate(tally.false_positive_rate()),
            "balancedAccuracy": tally.balanced_accuracy(),
        })
    };
    let by_judge = |of: &dyn Fn(Judge) -> Value| {
        judges
            .iter()
            .map(|judge| (format!("{judge:?}").to_lowercase(), of(*judge)))
            .collect::<BTreeMap<_, _>>()
    };
    let whole = corpora.iter().map(|corpus| {
        let value = by_judge(&|judge| tally(Tally::of(corpus.judged.iter(), judge)));
        (corpus.name.clone(), value)
    });
    let parts = PARTS.iter().filter(|part| part_tally(corpora, part, Judge::Engine).is_some()).map(|part| {
        let value = by_judge(&|judge| part_tally(corpora, part, judge).map_or(Value::Null, rate));
        (format!("{}: {}", part.corpus, part.name), value)
    });
    json!({"corpora": whole.collect::<BTreeMap<_, _>>(), "parts": parts.collect::<BTreeMap<_, _>>()})
}
