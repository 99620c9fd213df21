//! Cross-site scripting (CWE-79, CAPEC-63): would this value change the structure of a page it is put into, so that a
//! script runs?
//!
//! The value is read as HTML from every place where pages put values: as text, inside of an attribute in each kind of
//! quotes or in none, inside of a script's text, as an address, as a style. Sources: HTML Living Standard 13.2.5
//! (tokenisation), ECMA-262 section 12, WHATWG URL 4.4, CSS Syntax 4.3; OWASP's page on filter evasion.
//!
//! In reading order: `needs`, `names` (vocabulary), `html` and `script` (readers), `entities`, `url`, `style`,
//! `markup`, `elements` and `code` (judges), `evidence`, `context` (what kind of value), `rules`. Called through
//! [`DETECTOR`].

use rasp_policy::class::Class;

use crate::budget::Budget;
use crate::decode::Field;
use crate::detector::{self, Detector, Report};
use crate::finding::{Confidence, Part};
use crate::mask;
use crate::reason::Reason;

mod code;
mod context;
mod elements;
mod entities;
mod evidence;
mod html;
mod markup;
mod names;
mod needs;
mod rules;
mod script;
mod style;
mod url;

use evidence::{Best, Evidence};
use html::Place;
use markup::{Markup, Opened};
use rules::Rule;

pub(crate) use context::is_shown;

pub(crate) static DETECTOR: Detector =
    Detector { class: Class::CrossSiteScripting, needs: needs::NEEDS, inspect, rules };

fn rules() -> Vec<detector::Rule> {
    Rule::ALL.iter().map(|rule| rule.listed()).collect()
}

/// Reports the surest finding in a value.
fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    let evidence = match detect(field.value, field.part, report.budget())? {
        // Whoever escapes the letters of a tag has no other use for it.
        known if report.is_disguised() && known.is_none_or(|known| known.confidence < Confidence::High) => {
            hidden_tag(field.value).or(known)
        }
        known => known,
    };
    let Some(mut evidence) = evidence else { return Ok(()) };
    if evidence.confidence == Confidence::High && field.is_sought() && is_looked_for(field.value) {
        evidence.confidence = Confidence::Medium;
    }
    let at = evidence.start..evidence.end;
    let sample = mask::sample(field.value.get(at.clone()).unwrap_or_default(), names::is_known);
    let Evidence { rule, confidence, .. } = evidence;
    report.find(field, detector::Evidence { rule: rule.listed(), confidence, at, sample });
    Ok(())
}

/// `alert('hi')`, `</title>`, and nothing else: what people look for who learn how pages are written.
fn is_looked_for(value: &[u8]) -> bool {
    let text = value.trim_ascii();
    let is_word =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'\'' | b'"' | b'!' | b',');
    if let Some(name) = text.strip_prefix(b"</").and_then(|rest| rest.strip_suffix(b">")) {
        return [&b"title"[..], b"head", b"body", b"html", b"select", b"template"].contains(&name);
    }
    let call = text.strip_suffix(b";").unwrap_or(text);
    let said = call.strip_prefix(b"alert(").or_else(|| call.strip_prefix(b"prompt("));
    said.and_then(|rest| rest.strip_suffix(b")")).is_some_and(|said| said.iter().all(is_word))
}

/// A tag, in a value whose letters were escaped.
fn hidden_tag(value: &[u8]) -> Option<Evidence> {
    let start = memchr::memchr_iter(b'<', value)
        .find(|at| matches!(value.get(at + 1), Some(b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'?' | b'/')))?;
    let end = value.len();
    Some(Evidence { rule: Rule::HiddenTag, confidence: Confidence::High, start, end, hostile: true })
}

/// The surest finding in a value.
fn detect(value: &[u8], part: Part, budget: &mut Budget) -> Result<Option<Evidence>, Reason> {
    let mut best = Best::default();
    read(value, part, &mut best, budget)?;
    if !is_sure(&best)
        && let Some(evidence) = elements::judge(value, part)
    {
        budget.work(value.len())?;
        best.see(evidence);
    }
    if !is_sure(&best)
        && let Some((text, undone)) = entities::references(value)
    {
        budget.decoded(text.len())?;
        // Styles of SVG are text with references.
        let foreign = memchr::memmem::find(&text, b"<svg><style>").is_some();
        // Nothing that escapes markup writes fields of a head.
        let limit = if undone.hidden || foreign || part == Part::Header {
            Confidence::High
        } else {
            Confidence::Medium
        };
        // Nobody writes `java&Tab;script:` who does not hide it.
        let is_script = |text: &[u8]| matches!(url::scheme(text), url::Scheme::Script(_));
        if is_script(&text) && !is_script(value) {
            let end = value.len();
            best.see(Evidence {
                rule: Rule::Address,
                confidence: Confidence::High,
                start: 0,
                end,
                hostile: true,
            });
        }
        again(&text, (value, part), limit, &mut best, budget)?;
    }
    if !is_sure(&best) && entities::has_spellings(value) {
        let text = entities::spellings(value);
        budget.decoded(text.len())?;
        if entities::is_utf7_markup(value) {
            let end = value.len();
            best.see(Evidence {
                rule: Rule::Disguised,
                confidence: Confidence::High,
                start: 0,
                end,
                hostile: true,
            });
        }
        again(&text, (value, part), Confidence::High, &mut best, budget)?;
    }
    let length = value.len();
    Ok(best.0.map(|evidence| {
        let start = evidence.start.min(length);
        Evidence { start, end: evidence.end.clamp(start, length), ..evidence }
    }))
}

fn is_sure(best: &Best) -> bool {
    best.0.is_some_and(|known| known.confidence >= Confidence::High)
}

/// Reads another spelling of the value. Its evidence covers the whole.
fn again(
    text: &[u8],
    (value, part): (&[u8], Part),
    limit: Confidence,
    best: &mut Best,
    budget: &mut Budget,
) -> Result<(), Reason> {
    let mut other = Best::default();
    read(text, part, &mut other, budget)?;
    if let Some(evidence) = other.0 {
        let end = value.len();
        best.see(Evidence { confidence: evidence.confidence.min(limit), start: 0, end, ..evidence });
    }
    Ok(())
}

/// Reads a value from every place.
fn read(value: &[u8], part: Part, best: &mut Best, budget: &mut Budget) -> Result<(), Reason> {
    let mut see = |found: Best| {
        if let Some(evidence) = found.0 {
            best.see(Evidence { confidence: context::weigh(value, part, &evidence), ..evidence });
        }
    };
    if memchr::memchr(b'<', value).is_some() {
        let mut markup = Markup::new(value, Opened::Here);
        html::read(value, 0, Place::Text, &mut markup);
        budget.work(value.len() * 2 + markup.work)?;
        see(markup.best);
    }
    if memchr::memchr(b'=', value).is_some() {
        for (start, opened) in places(value) {
            let mut markup = Markup::new(value, opened);
            markup.closes_at_once = start <= 1;
            html::read(value, start, Place::Tag, &mut markup);
            budget.work(value.len() + markup.work)?;
            see(markup.best);
        }
    }
    let mut found = Best::default();
    budget.work(code::judge(value, part, &mut found))?;
    see(found);
    Ok(())
}

/// Where the value may go on in the tag of the page: at its beginning, and after the first quote of each kind.
fn places(value: &[u8]) -> impl Iterator<Item = (usize, Opened)> {
    let after = |quote: u8| memchr::memchr(quote, value).map(|at| (at + 1, Opened::Quoted));
    [Some((0, Opened::Bare)), after(b'"'), after(b'\''), after(b'`')].into_iter().flatten()
}

#[cfg(test)]
mod tests;
