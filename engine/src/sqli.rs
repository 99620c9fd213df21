//! SQL injection (CWE-89): would this value change the structure of a statement it is put into?
//!
//! The value is read as SQL from every place in a statement where applications put values: inside each quote it can
//! close, where a number or a name stands, and as a statement by itself. Reading is lazy and stops at the first token
//! that no dialect allows there, which is why prose costs little and matches nothing.
//!
//! In reading order: `needs`, `words` and `functions` (vocabulary), `lexer`, `parser` (the cursor), `reading` (what
//! may follow an operand), `expression`, `operand`, `statement`, `select`, `form` (what is no expression), `evidence`
//! (facts), `rules` (how sure they are), `fragment` (pieces that no statement comes of). Called through [`DETECTOR`].

use rasp_policy::class::Class;

use crate::ascii;
use crate::budget::Budget;
use crate::decode::Field;
use crate::detector::{self, Detector, Report};
use crate::finding::{Confidence, Part};
use crate::lookup::Lookup;
use crate::mask;
use crate::reason::Reason;

mod evidence;
mod expression;
mod form;
mod fragment;
mod functions;
mod lexer;
mod needs;
mod operand;
mod parser;
mod prose;
mod reading;
mod rules;
mod select;
mod statement;
mod words;

use evidence::{Evidence, Prefix};
use functions::FUNCTIONS;
use lexer::Kind;
use parser::Parser;
pub(crate) use prose::{is_apostrophe, is_nested, is_union};
use rules::{RULES, Rule};
use words::{WORDS, Word};

pub(crate) static DETECTOR: Detector =
    Detector { class: Class::SqlInjection, needs: needs::NEEDS, inspect, rules };

fn rules() -> Vec<detector::Rule> {
    RULES.iter().map(Rule::listed).chain([fragment::RULE]).collect()
}

/// Reports the surest finding in a value.
fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    let parameter = field.is_parameter();
    let detected = detect(field, parameter, report.budget())?;
    let is_sure = detected.best.is_some_and(|(_, known, _)| known >= Confidence::High);
    let is_value = parameter && !matches!(field.part, Part::QueryName | Part::FormName);
    if !is_sure && is_value && fragment::is_one(field.name, field.value) {
        let (rule, at) = (fragment::RULE, 0..field.value.len());
        let sample = mask::sample(field.value, is_known);
        report.find(field, detector::Evidence { rule, confidence: Confidence::High, at, sample });
    } else if let Some((rule, confidence, evidence)) = detected.best {
        let at = evidence.start..evidence.end;
        let sample = mask::sample(field.value.get(at.clone()).unwrap_or_default(), is_known);
        report.find(field, detector::Evidence { rule: rule.listed(), confidence, at, sample });
    } else if detected.too_deep {
        report.note(Reason::TooDeep);
    }
    Ok(())
}

fn is_known(word: &[u8]) -> bool {
    WORDS.find(word).is_some() || FUNCTIONS.find(word).is_some()
}

fn detect(field: &Field<'_>, parameter: bool, budget: &mut Budget) -> Result<Detected, Reason> {
    let (part, value) = (field.part, field.value);
    let mut readings = Readings { budget, best: None, too_deep: false, parameter, units: 0 };
    let seen = MARKS.all(value);
    if seen & QUOTES != 0 {
        readings.out_of_quotes(value, seen)?;
    }
    if seen & CLOSERS != 0 {
        readings.out_of_marks(value)?;
    }
    if !begins_as_sentence(value) {
        readings.unquoted(value, 0)?;
    }
    if part == Part::Path && value.starts_with(b"/") {
        readings.unquoted(value, last_segment(value))?;
    }
    if value.len() >= SHORTEST_TEXT && readings.best.is_none_or(|(_, known, _)| known < Confidence::High) {
        if seen & QUOTES != 0 {
            readings.behind_quotes(value, seen)?;
        }
        readings.behind_word(value, b"union", unions(value))?;
        if seen & COMMENTS != 0 && ends_in_comment(value) {
            readings.behind_word(value, b"or", memchr::memchr2_iter(b'o', b'O', value))?;
        }
    }
    if parameter
        && readings.best.is_none_or(|(_, known, _)| known < Confidence::High)
        && let Some(form) = form::find(value)
    {
        readings.best = Some(rules::of_form(form, value.len()));
    }
    Ok(Detected { best: readings.best, too_deep: readings.too_deep })
}

/// What some readings need: a quote, the end of a comment, a dollar sign, or the beginning of a comment.
static MARKS: Lookup<u8> = Lookup::bits(b"'\"`*$-#");
const QUOTES: u8 = 0b111;
const CLOSERS: u8 = 0b1_1000;
const COMMENTS: u8 = 0b110_1000;

/// Whether so many words stand here, each behind one blank, that mean nothing to SQL: no statement goes on so, and none
/// has two names in a row, as most sentences begin.
fn begins_with_names(value: &[u8], count: usize) -> bool {
    let mut rest = value;
    for index in 0..count {
        let length = rest.iter().take_while(|byte| lexer::is_in_name(**byte)).count();
        let (name, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        let is_name = name.first().is_some_and(u8::is_ascii_alphabetic)
            && !matches!(after.first(), Some(b'\'' | b'"'))
            && WORDS.find(name).is_none();
        match after {
            _ if !is_name => return false,
            [b' ', after @ ..] => rest = after,
            _ => return index + 1 == count,
        }
    }
    true
}

/// Whether two such words stand here, or one with an apostrophe, as in `it's`: to SQL that is a name and a text behind it,
/// where every reading stops, and no rule is about that.
pub(crate) fn begins_as_sentence(value: &[u8]) -> bool {
    let length = value.iter().take_while(|byte| lexer::is_in_name(**byte)).count();
    let (name, after) = value.split_at_checked(length).unwrap_or((value, &[]));
    if !name.first().is_some_and(u8::is_ascii_alphabetic) {
        return false;
    }
    match after {
        [b' ', after @ ..] => WORDS.find(name).is_none() && begins_with_names(after, 1),
        [b'\'', ..] => !lexer::is_text_prefix(name) && WORDS.find(name).is_none(),
        _ => false,
    }
}

/// Where the word `union` stands: from end to end of where it could, since few bytes are one of its letters.
fn unions(value: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let mut last = UNION.len() - 1;
    std::iter::from_fn(move || {
        loop {
            let byte = *value.get(last)?;
            let at = last + 1 - UNION.len();
            last += usize::from(STEPS.one(byte));
            if byte | 0x20 == b'n' && ascii::starts(value.get(at..)?, UNION) {
                return Some(at);
            }
        }
    })
}

const UNION: &[u8] = b"union";

/// How far the end of the word is at least from its next letter that is this byte.
static STEPS: Lookup<u8> = Lookup::sorted(5, &[(b"uU", 4), (b"nN", 3), (b"iI", 2), (b"oO", 1)]);

/// What came of one value: the surest evidence, and whether it is nested deeper than is read.
struct Detected {
    best: Option<(&'static Rule, Confidence, Evidence)>,
    too_deep: bool,
}

/// The readings of one value from every place in a statement, and the surest evidence of them.
struct Readings<'a> {
    budget: &'a mut Budget,
    best: Option<(&'static Rule, Confidence, Evidence)>,
    too_deep: bool,
    /// The value is that of a parameter, and not a piece of a document.
    parameter: bool,
    /// Work that the readings behind quotes and text have done.
    units: usize,
}

impl Readings<'_> {
    fn see(&mut self, (parser, evidence): (Parser<'_>, Evidence)) -> Result<(), Reason> {
        self.too_deep |= parser.too_deep;
        let evidence = Evidence { parameter: self.parameter, ..evidence };
        if let Some((rule, confidence)) = rules::judge(&evidence)
            && self.best.is_none_or(|(_, known, _)| confidence > known)
        {
            self.best = Some((rule, confidence, evidence));
        }
        self.budget.work(parser.work())
    }

    /// A reading from the middle of a text: only a complete attack counts, and it may be an example.
    fn see_behind(&mut self, (parser, evidence): (Parser<'_>, Evidence)) -> Result<(), Reason> {
        self.units += parser.work();
        if let Some((rule, Confidence::Certain)) = rules::judge(&evidence)
            && self.best.is_none_or(|(_, known, _)| known < Confidence::High)
        {
            self.best = Some((rule, Confidence::High, evidence));
        }
        self.budget.work(parser.work())
    }

    /// Text that has quotes of its own may stand before the one that closes: `it's nice' or 1=1--`.
    fn behind_quotes(&mut self, value: &[u8], seen: u8) -> Result<(), Reason> {
        for quote in b"'\"".iter().copied().filter(|quote| MARKS.one(*quote) & seen != 0) {
            let mut tries = 0;
            for at in memchr::memchr_iter(quote, value).skip(1) {
                if !goes_on(value.get(at + 1..).unwrap_or_default()) {
                    continue;
                }
                tries += 1;
                if tries > TRIES || self.units > value.len() {
                    break;
                }
                self.see_behind(Parser::new(value, at + 1).after_quote(quote, at, Prefix::Prose))?;
            }
        }
        Ok(())
    }

    /// The same where no quote has to be closed: `nice 1 union select 1,2,3`, `nice 1 or 1=1 --`.
    fn behind_word(
        &mut self,
        value: &[u8],
        word: &[u8],
        places: impl Iterator<Item = usize>,
    ) -> Result<(), Reason> {
        let second = word.get(1).copied();
        let mut tries = 0;
        for at in places.filter(|at| *at > 0) {
            let rest = value.get(at..).unwrap_or_default();
            if rest.get(1).map(u8::to_ascii_lowercase) != second
                || !ascii::starts(rest, word)
                || rest.get(word.len()).is_some_and(|byte| lexer::name_byte(*byte))
                || value.get(at - 1).is_some_and(|byte| lexer::name_byte(*byte) && !byte.is_ascii_digit())
            {
                continue;
            }
            tries += 1;
            // A statement of its own stands before it: a text about SQL.
            if tries > TRIES || self.units > value.len() || holds_select(value.get(..at).unwrap_or_default())
            {
                break;
            }
            self.see_behind(Parser::new(value, at).bare())?;
        }
        Ok(())
    }

    /// As if it stood in quotes, which it closes.
    fn out_of_quotes(&mut self, value: &[u8], seen: u8) -> Result<(), Reason> {
        for quote in b"'\"`".iter().copied().filter(|quote| MARKS.one(*quote) & seen != 0) {
            for at in closing_quotes(value, quote).into_iter().flatten() {
                if value.get(at + 1..).is_some_and(|rest| begins_with_names(rest, 1)) {
                    continue; // an apostrophe
                }
                let prefix = prefix(value.get(..at).unwrap_or_default());
                // Texts and names in backticks are ordinary in Markdown; a name that is broken out of has a beginning.
                if quote != b'`' || prefix == Prefix::Word {
                    self.see(Parser::new(value, at + 1).after_quote(quote, at, prefix))?;
                }
            }
        }
        Ok(())
    }

    /// As if it stood in a comment or between dollar signs, which it closes.
    fn out_of_marks(&mut self, value: &[u8]) -> Result<(), Reason> {
        for mark in [*b"*/", *b"$$"] {
            let Some(at) = find_pair(value, mark) else { continue };
            let prefix = prefix(value.get(..at).unwrap_or_default());
            if prefix != Prefix::Prose {
                self.see(Parser::new(value, at + 2).after_quote(b'*', at, prefix))?;
            }
        }
        Ok(())
    }

    /// As if it stood where a number or a name does, or was a statement.
    fn unquoted(&mut self, value: &[u8], at: usize) -> Result<(), Reason> {
        let parser = Parser::new(value, at);
        let whole = match (parser.kind(), parser.peek()) {
            (Kind::Word(Word::If | Word::Insert | Word::Values | Word::Execute), Kind::Open) => false,
            (Kind::Word(word), _) => Parser::starts_statement(word),
            _ => false,
        };
        self.see(if whole { parser.whole() } else { parser.bare() })
    }
}

/// Readings from the middle of a value, for each way to get there.
const TRIES: usize = 8;

/// Shorter values have no room for a text and an attack.
const SHORTEST_TEXT: usize = 20;

/// A comment stands near the end.
fn ends_in_comment(value: &[u8]) -> bool {
    let tail = value.get(value.len().saturating_sub(48)..).unwrap_or_default();
    tail.contains(&b'#') || find_pair(tail, *b"--").or(find_pair(tail, *b"/*")).is_some()
}

/// Where the last segment of a path begins: what is behind a blank, a quote or a parenthesis is no path.
fn last_segment(value: &[u8]) -> usize {
    let is_text = |byte: &u8| matches!(byte, b' ' | b'\'' | b'"' | b'(' | b'*' | b'+');
    let path = value.iter().position(is_text).and_then(|end| value.get(..end)).unwrap_or(value);
    memchr::memrchr(b'/', path).map_or(0, |slash| slash + 1)
}

/// Behind a quote comes what goes on in a statement, and not in a text.
fn goes_on(rest: &[u8]) -> bool {
    let rest = rest.get(..24).unwrap_or(rest);
    let skipped = rest.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b')').count();
    let next = rest.get(skipped..).unwrap_or_default();
    let word = next.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    match next {
        [b';' | b'|' | b'&' | b'/', ..] | [b'-', b'-', ..] => true,
        _ => next.get(..word).and_then(|word| WORDS.find(word)).is_some_and(|word| {
            matches!(
                word,
                Word::Or
                    | Word::And
                    | Word::SetOperator
                    | Word::Having
                    | Word::Order
                    | Word::Group
                    | Word::Procedure
            )
        }),
    }
}

fn holds_select(before: &[u8]) -> bool {
    memchr::memchr2_iter(b's', b'S', before)
        .any(|at| before.get(at..at + 6).is_some_and(|word| word.eq_ignore_ascii_case(b"select")))
}

/// Two bytes in a row. A searcher of `memmem` costs more to make than a value to read.
fn find_pair(value: &[u8], [first, second]: [u8; 2]) -> Option<usize> {
    memchr::memchr_iter(first, value).find(|at| value.get(at + 1) == Some(&second))
}

/// Where a value closes the quote it stands in: at the first one that is not doubled, and, where a backslash stands
/// before that, at the next one that has none, because only some dialects escape with backslashes.
fn closing_quotes(value: &[u8], quote: u8) -> [Option<usize>; 2] {
    let first = closing_quote(value, quote, false);
    if memchr::memchr(b'\\', value.get(..first.unwrap_or(value.len())).unwrap_or_default()).is_none() {
        return [first, None];
    }
    let second = closing_quote(value, quote, true);
    [first, second.filter(|_| first != second)]
}

fn closing_quote(value: &[u8], quote: u8, backslash_escapes: bool) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = value.get(at..)?;
        let length = if backslash_escapes {
            memchr::memchr2(quote, b'\\', rest)?
        } else {
            memchr::memchr(quote, rest)?
        };
        at += length;
        match value.get(at..) {
            Some([b'\\', ..]) if quote != b'\\' => at += 2,
            Some([first, second, ..]) if first == second => at += 2,
            _ => return Some(at),
        }
    }
}

/// What an application would have stored, had the value ended before the quote.
fn prefix(bytes: &[u8]) -> Prefix {
    let mark =
        |byte: &u8| matches!(byte, b'(' | b'{' | b'<' | b'>' | b'=' | b';' | b'[' | b'\n' | b'"' | b'`');
    let blanks = bytes.trim_ascii_start().iter().filter(|byte| **byte <= b' ').take(6).count();
    match bytes.last() {
        None => Prefix::Empty,
        _ if blanks > 5 || bytes.iter().any(mark) => Prefix::Prose,
        Some(last) if blanks == 0 && (last.is_ascii_alphanumeric() || b"%)_*".contains(last)) => Prefix::Word,
        Some(_) => Prefix::Words,
    }
}

#[cfg(test)]
mod tests;
