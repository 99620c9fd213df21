//! Changes the text of a document in a few places and leaves every other byte alone. Block style gets lines, flow style
//! (and so JSON) gets JSON. Called by [`crate::inject`] and [`crate::uninject`], which check that what came out means
//! what it should.

use std::ops::Range;

use serde_json::Value;

use crate::tree::{Kind, Member, Node};

/// A place that cannot be written to without changing what its author wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {what}: write it out as a block of its own")]
pub struct Unwritable {
    /// The field.
    pub field: String,
    /// What stands there.
    pub what: &'static str,
}

/// Changes to one text, applied all at once.
#[derive(Debug)]
pub struct Edits<'a> {
    text: &'a str,
    changes: Vec<(Range<usize>, String)>,
}

/// A mapping, and the first byte of the key that it is the value of; `None` for a whole document.
#[derive(Clone, Copy, Debug)]
pub struct Place<'n> {
    /// The mapping.
    pub mapping: &'n Node,
    /// Of its key.
    pub key_at: Option<usize>,
}

impl<'n> Place<'n> {
    /// The mapping that a member is.
    pub fn of(member: &'n Member) -> Self {
        Self { mapping: &member.node, key_at: Some(member.at) }
    }
}

impl<'a> Edits<'a> {
    /// No change yet.
    pub fn new(text: &'a str) -> Self {
        Self { text, changes: Vec::new() }
    }

    /// How many changes there are; to come back to it.
    pub fn mark(&self) -> usize {
        self.changes.len()
    }

    /// Forgets the changes since.
    pub fn back_to(&mut self, mark: usize) {
        self.changes.truncate(mark);
    }

    /// The text with all changes.
    pub fn apply(mut self) -> String {
        // What is inserted at one place comes in the order in which it was asked for.
        self.changes.sort_by_key(|(range, _)| range.start);
        let (mut out, mut at) = (String::with_capacity(self.text.len()), 0);
        for (range, new) in &self.changes {
            out.push_str(self.text.get(at..range.start).unwrap_or_default());
            out.push_str(new);
            at = at.max(range.end);
        }
        out.push_str(self.text.get(at..).unwrap_or_default());
        out
    }

    /// Puts elements in front of a list, which is made where there is none.
    pub fn prepend(&mut self, place: Place<'_>, key: &str, items: &[Value]) -> Result<(), Unwritable> {
        let Some(member) = place.mapping.member(key) else {
            return self.add(place, key, &Value::Array(items.to_vec()));
        };
        match &member.node.kind {
            Kind::Sequence { items: present, flow: true } => {
                let mut new = joined(items);
                if !present.is_empty() {
                    new.push_str(", ");
                }
                self.insert(member.node.span.start + 1, new);
            }
            Kind::Sequence { items: present, flow: false } => {
                let first = present.first().map_or(member.node.span.start, |item| item.span.start);
                let indent = self.column(self.dash(first));
                let at = self.next_line(member.at);
                self.insert_lines(at, &block(&Value::Array(items.to_vec()), indent));
            }
            Kind::Scalar(Value::Null) => self.fill(place, member, &Value::Array(items.to_vec())),
            _ => return Err(unwritable(key, &member.node)),
        }
        Ok(())
    }

    /// Sets a member, in front of the others where there is none of that name.
    pub fn set(&mut self, place: Place<'_>, key: &str, value: &str) -> Result<(), Unwritable> {
        match place.mapping.member(key) {
            Some(Member { node: Node { kind: Kind::Scalar(_), span }, .. }) if !span.is_empty() => {
                self.changes.push((span.clone(), Value::from(value).to_string()));
                Ok(())
            }
            Some(member) => Err(unwritable(key, &member.node)),
            None => self.add(place, key, &Value::from(value)),
        }
    }

    /// Adds a member in front of the others.
    pub fn add(&mut self, place: Place<'_>, key: &str, value: &Value) -> Result<(), Unwritable> {
        match &place.mapping.kind {
            Kind::Mapping { members, flow: true } => {
                let mut new = format!("{}: {value}", Value::from(key));
                if !members.is_empty() {
                    new.push_str(", ");
                }
                self.insert(place.mapping.span.start + 1, new);
            }
            Kind::Mapping { members, flow: false } => {
                let first = members.first().map_or(place.mapping.span.start, |member| member.at);
                let at = place.key_at.map_or_else(|| self.line(first), |key| self.next_line(key));
                self.insert_lines(at, &member_lines(key, value, self.column(first)));
            }
            _ => return Err(unwritable(key, place.mapping)),
        }
        Ok(())
    }

    /// Gives a member without a value one.
    pub fn fill(&mut self, place: Place<'_>, member: &Member, value: &Value) {
        let span = member.node.span.clone();
        if matches!(place.mapping.kind, Kind::Mapping { flow: true, .. }) {
            self.changes.push((span, value.to_string()));
            return;
        }
        let indent = self.column(member.at) + 2;
        let at = self.next_line(member.at);
        if !span.is_empty() {
            self.changes.push((span, String::new()));
        }
        self.insert_lines(at, &block(value, indent));
    }

    /// Removes a member of a mapping.
    pub fn remove_member(&mut self, mapping: &Node, key: &str) {
        let Kind::Mapping { members, flow } = &mapping.kind else { return };
        let Some(number) = members.iter().position(|member| member.key == key) else { return };
        let start = |number: usize| members.get(number).map(|member| member.at);
        let end = |number: usize| members.get(number).map(|member| member.node.span.end);
        self.remove(mapping, number, *flow, &start, &end);
    }

    /// Removes elements of a list.
    pub fn remove_items(&mut self, list: &Node, is_wanted: impl Fn(&Node) -> bool) {
        let Kind::Sequence { items, flow } = &list.kind else { return };
        let start = |number: usize| {
            items.get(number).map(|item| if *flow { item.span.start } else { self.dash(item.span.start) })
        };
        let end = |number: usize| items.get(number).map(|item| item.span.end);
        let mut ranges = Vec::new();
        for number in (0..items.len()).filter(|number| items.get(*number).is_some_and(&is_wanted)) {
            ranges.extend(self.range(list, number, *flow, &start, &end));
        }
        self.changes.extend(ranges.into_iter().map(|range| (range, String::new())));
    }

    fn remove(
        &mut self,
        parent: &Node,
        number: usize,
        flow: bool,
        start: &dyn Fn(usize) -> Option<usize>,
        end: &dyn Fn(usize) -> Option<usize>,
    ) {
        let range = self.range(parent, number, flow, start, end);
        self.changes.extend(range.map(|range| (range, String::new())));
    }

    /// What has to go with an element: its lines, or itself with a comma.
    fn range(
        &self,
        parent: &Node,
        number: usize,
        flow: bool,
        start: &dyn Fn(usize) -> Option<usize>,
        end: &dyn Fn(usize) -> Option<usize>,
    ) -> Option<Range<usize>> {
        let from = start(number)?;
        if flow {
            return Some(match (start(number + 1), number.checked_sub(1).and_then(end)) {
                (Some(next), _) => from..next,
                (None, Some(before)) => before..end(number)?,
                (None, None) => from..end(number)?,
            });
        }
        let behind = start(number + 1).unwrap_or(parent.span.end);
        let from = self.line(from);
        // Comments in front of what follows belong to it.
        Some(from..self.without_comments(from, self.line(behind)))
    }

    fn without_comments(&self, from: usize, mut to: usize) -> usize {
        while let Some(before) = self.text.get(from..to).filter(|lines| !lines.is_empty()) {
            let last = before.trim_end_matches('\n').rfind('\n').map_or(from, |at| from + at + 1);
            let line = self.text.get(last..to).unwrap_or_default().trim();
            if last == from || !(line.is_empty() || line.starts_with('#')) {
                break;
            }
            to = last;
        }
        to
    }

    fn insert(&mut self, at: usize, text: String) {
        self.changes.push((at..at, text));
    }

    fn insert_lines(&mut self, at: usize, lines: &str) {
        let is_open = at == self.text.len() && !self.text.is_empty() && !self.text.ends_with('\n');
        let new = if is_open { format!("\n{}", lines.trim_end_matches('\n')) } else { lines.to_owned() };
        // As the lines of the file end: git and editors complain of both in one.
        let first = self.text.split_inclusive('\n').next().unwrap_or_default();
        let new = if first.ends_with("\r\n") { new.replace('\n', "\r\n") } else { new };
        self.insert(at, new);
    }

    /// First byte of the line, or the end of the text where nothing follows.
    fn line(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        if at == self.text.len() && !before.ends_with('\n') {
            return at;
        }
        before.rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn next_line(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        rest.find('\n').map_or(self.text.len(), |newline| at + newline + 1)
    }

    fn column(&self, at: usize) -> usize {
        at - self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
    }

    /// The `-` of an element whose content begins here.
    fn dash(&self, content: usize) -> usize {
        self.text.get(..content).and_then(|before| before.rfind('-')).unwrap_or(content)
    }
}

fn unwritable(field: &str, node: &Node) -> Unwritable {
    let what = match node.kind {
        Kind::Alias(_) => "an alias of something else",
        Kind::Scalar(_) => "a single value",
        Kind::Sequence { .. } => "a list",
        Kind::Mapping { .. } => "a mapping",
    };
    Unwritable { field: field.to_owned(), what }
}

fn joined(items: &[Value]) -> String {
    items.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
}

/// A member in block style, its key indented.
fn member_lines(key: &str, value: &Value, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    match value {
        Value::Array(_) | Value::Object(_) => format!("{blanks}{key}:\n{}", block(value, indent + 2)),
        // Texts of ours are JSON, which single quotes leave readable.
        Value::String(text) => format!("{blanks}{key}: '{}'\n", text.replace('\'', "''")),
        other => format!("{blanks}{key}: {other}\n"),
    }
}

/// A value in block style, every line indented.
fn block(value: &Value, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let yaml = serde_yaml::to_string(&readable(value)).unwrap_or_default(); // JSON always serialises
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{blanks}{line}\n") };
    yaml.lines().map(line).collect()
}

/// What names a thing comes first in it.
fn readable(value: &Value) -> serde_yaml::Value {
    match value {
        Value::Array(items) => items.iter().map(readable).collect(),
        Value::Object(map) => {
            let first = ["name", "image"];
            let ordered = first.iter().filter_map(|key| map.get_key_value(*key));
            let rest = map.iter().filter(|(key, _)| !first.contains(&key.as_str()));
            let pairs = ordered.chain(rest).map(|(key, value)| (key.as_str().into(), readable(value)));
            serde_yaml::Value::Mapping(pairs.collect())
        }
        other => serde_yaml::to_value(other).unwrap_or_default(), // a scalar always serialises
    }
}
