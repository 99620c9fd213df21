//! A YAML document as a tree that knows where in the text everything stands, so that a change touches nothing else:
//! comments, quotes and numbers like `0644` stay as their author wrote them. Never follows anchors when it edits.
//! Called by [`crate::edit`]; values are read as `kubectl` reads them.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Number, Value};

/// Deeper documents are refused: Kubernetes objects are not.
const DEPTH: usize = 64;

/// A document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No YAML.
    #[error("line {line}: {message}")]
    Syntax {
        /// Counted from 1, in the document.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// Which of the two is meant?
    #[error("line {line}: {key} is there for the second time")]
    Twice {
        /// Counted from 1, in the document.
        line: usize,
        /// The key.
        key: String,
    },
    /// Too deep.
    #[error("more than {DEPTH} levels deep: no object of Kubernetes is")]
    Depth,
}

/// A node and its place: bytes of the text.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// From the first byte of its content. For a block collection it ends where the next thing begins.
    pub span: Range<usize>,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A value, resolved.
    Scalar(Value),
    /// Elements.
    Sequence {
        /// In order.
        items: Vec<Node>,
        /// `[a, b]`.
        flow: bool,
    },
    /// Members.
    Mapping {
        /// In order: place of the key, the key, and its value.
        members: Vec<Member>,
        /// `{a: b}`.
        flow: bool,
    },
    /// `*name`, with what it stands for.
    Alias(Value),
}

/// One member of a mapping.
#[derive(Clone, Debug)]
pub struct Member {
    /// First byte of the key.
    pub at: usize,
    /// The key, where it is a text.
    pub key: String,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// A member of a mapping.
    pub fn member(&self, key: &str) -> Option<&Member> {
        match &self.kind {
            Kind::Mapping { members, .. } => members.iter().find(|member| member.key == key),
            _ => None,
        }
    }

    /// A member of a member, and so on.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.member(key).map(|member| &member.node))
    }

    /// Elements of a sequence; none of anything else.
    pub fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::Sequence { items, .. } => items,
            _ => &[],
        }
    }

    /// The value, as JSON. Merge keys (`<<`) give what the mapping does not have itself.
    pub fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) | Kind::Alias(value) => value.clone(),
            Kind::Sequence { items, .. } => items.iter().map(Self::value).collect(),
            Kind::Mapping { members, .. } => {
                let mut map = Map::new();
                for member in members.iter().filter(|member| member.key != "<<") {
                    map.insert(member.key.clone(), member.node.value());
                }
                for merged in members.iter().filter(|member| member.key == "<<") {
                    if let Value::Object(other) = merged.node.value() {
                        for (key, value) in other {
                            map.entry(key).or_insert(value);
                        }
                    }
                }
                Value::Object(map)
            }
        }
    }
}

/// Reads the first document of a text; `None` where there is none.
pub fn read(text: &str) -> Result<Option<Node>, Error> {
    // Directives stand before the line that begins their document.
    if text.lines().all(|line| line.trim().is_empty() || line.starts_with(['%', '#'])) {
        return Ok(None);
    }
    // The parser counts characters.
    let mut bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    bytes.push(text.len());
    let mut reader = Reader { text, bytes, parser: Parser::new_from_str(text), anchors: HashMap::new() };
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(None),
            (Event::DocumentStart(_), _) => break,
            _ => {}
        }
    }
    let first = reader.next()?;
    let root = reader.node(first, 0)?;
    loop {
        match reader.next()?.0 {
            Event::StreamEnd => break,
            Event::DocumentStart(_) => {
                let message = "a second document: begin it with a line of ---".to_owned();
                return Err(Error::Syntax { line: 1, message });
            }
            _ => {}
        }
    }
    let is_nothing = root.span.is_empty() && matches!(root.kind, Kind::Scalar(Value::Null));
    Ok((!is_nothing).then_some(root))
}

struct Reader<'a> {
    text: &'a str,
    bytes: Vec<usize>,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Value>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Error> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                Err(Error::Syntax { line: error.marker().line(), message: error.info().to_owned() })
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn span(&self, span: Span) -> Range<usize> {
        let byte = |index: usize| self.bytes.get(index).copied().unwrap_or(self.text.len());
        byte(span.start.index())..byte(span.end.index())
    }

    fn is_flow(&self, span: &Range<usize>) -> bool {
        self.text.get(span.clone()).is_some_and(|mark| mark == "[" || mark == "{")
    }

    fn node(&mut self, (event, place): (Event<'a>, Span), depth: usize) -> Result<Node, Error> {
        if depth > DEPTH {
            return Err(Error::Depth);
        }
        let mut span = self.span(place);
        let (kind, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain
                    || tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                (Kind::Scalar(if is_text { Value::from(&*text) } else { resolved(&text) }), anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let flow = self.is_flow(&span);
                let mut items = Vec::new();
                loop {
                    let next = self.next()?;
                    if next.0 == Event::SequenceEnd {
                        span.end = self.span(next.1).end;
                        break;
                    }
                    items.push(self.node(next, depth + 1)?);
                }
                (Kind::Sequence { items, flow }, anchor)
            }
            Event::MappingStart(anchor, _) => {
                let flow = self.is_flow(&span);
                let mut members = Vec::new();
                loop {
                    let next = self.next()?;
                    if next.0 == Event::MappingEnd {
                        span.end = self.span(next.1).end;
                        break;
                    }
                    let line = next.1.start.line();
                    let key = self.node(next, depth + 1)?;
                    let value = self.next()?;
                    let node = self.node(value, depth + 1)?;
                    let name = match key.value() {
                        Value::String(text) => text,
                        other => other.to_string(),
                    };
                    if name != "<<" && members.iter().any(|member: &Member| member.key == name) {
                        return Err(Error::Twice { line, key: name });
                    }
                    members.push(Member { at: key.span.start, key: name, node });
                }
                (Kind::Mapping { members, flow }, anchor)
            }
            Event::Alias(anchor) => (Kind::Alias(self.anchors.get(&anchor).cloned().unwrap_or_default()), 0),
            _ => (Kind::Scalar(Value::Null), 0),
        };
        let node = Node { kind, span };
        if anchor != 0 {
            self.anchors.insert(anchor, node.value());
        }
        Ok(node)
    }
}

/// A plain scalar as the YAML 1.1 of `kubectl` reads it: `yes` is true, `0644` is octal.
fn resolved(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => {
            return Value::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    integer(text).or_else(|| float(text)).map_or_else(|| Value::from(text), Value::Number)
}

fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, digits.get(2..)?),
        Some("0b") => (2, digits.get(2..)?),
        Some("0o") => (8, digits.get(2..)?),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    let digits = digits.replace('_', "");
    let sign = if negative { "-" } else { "" };
    i64::from_str_radix(&format!("{sign}{digits}"), radix)
        .map(Number::from)
        .ok()
        .or_else(|| (!negative).then(|| u64::from_str_radix(&digits, radix).ok().map(Number::from))?)
}

fn float(text: &str) -> Option<Number> {
    let is_number = text.contains(|char: char| char.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE_".contains(&byte));
    is_number.then(|| text.replace('_', "").parse().ok().and_then(Number::from_f64)).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_are_what_kubectl_takes_them_for() {
        for (text, value) in [
            ("a: yes", json!(true)),
            ("a: off", json!(false)),
            ("a: 'yes'", json!("yes")),
            ("a: 0644", json!(420)),
            ("a: \"0644\"", json!("0644")),
            ("a: 0o17", json!(15)),
            ("a: 0x10", json!(16)),
            ("a: -5", json!(-5)),
            ("a: 18446744073709551615", json!(u64::MAX)),
            ("a: 08", json!(8.0)),
            ("a: 1.5", json!(1.5)),
            ("a: 1e3", json!(1000.0)),
            ("a: 10.0.0.1", json!("10.0.0.1")),
            ("a: 1Gi", json!("1Gi")),
            ("a: .", json!(".")),
            ("a: -", json!("-")),
            ("a:", json!(null)),
            ("a: ~", json!(null)),
            ("a: !!str 5", json!("5")),
            ("a: |\n  x\n  y\n", json!("x\ny\n")),
        ] {
            let read = read(text);
            if text == "a: -" {
                assert!(read.is_err(), "{text}");
                continue;
            }
            assert_eq!(read.unwrap().unwrap().value(), json!({"a": value}), "{text}");
        }
    }

    #[test]
    fn anchors_and_merge_keys_are_read() {
        let text = "base: &b {x: 1, z: 2}\nmade:\n  <<: *b\n  z: 3\nsame: *b\n";
        let value = read(text).unwrap().unwrap().value();
        assert_eq!(value["made"], json!({"x": 1, "z": 3}));
        assert_eq!(value["same"], json!({"x": 1, "z": 2}));
    }

    #[test]
    fn a_document_of_comments_is_none_and_a_broken_one_says_where() {
        assert!(read("# nothing\n\n").unwrap().is_none());
        assert!(matches!(read("a: 1\nb: [\n"), Err(Error::Syntax { .. })));
        let deep = "[".repeat(70);
        assert!(read(&deep).is_err());
        assert!(read("%YAML 1.2\n# nothing\n").unwrap().is_none());
        let twice = read("a: 1\nb:\n  c: {x: 1}\n  c: 2\n").unwrap_err();
        assert_eq!(twice, Error::Twice { line: 4, key: "c".to_owned() });
        assert!(read("a: &a {x: 1}\nb: {<<: *a, <<: *a}\n").is_ok());
    }

    #[test]
    fn places_are_bytes_also_behind_other_letters() {
        let text = "é: ü\nspec:\n  a: {b: [1, 2]}\n";
        let root = read(text).unwrap().unwrap();
        let node = root.at(&["spec", "a", "b"]).unwrap();
        assert_eq!(&text[node.span.clone()], "[1, 2]");
        assert_eq!(&text[root.member("spec").unwrap().at..][..5], "spec:");
    }
}
