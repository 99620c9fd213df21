//! Judges tags and attributes that the value holds: does an element run a script, load one, or change the page?

use super::entities;
use super::evidence::{Best, Evidence};
use super::html::{Attribute, Sink};
use super::names::{EVENTS, FRAMES, URLS, has};
use super::rules::Rule;
use super::script::{self, Reading, Start};
use super::style;
use crate::ascii;
use crate::finding::Confidence::{self, High, Medium};

mod attributes;
mod contents;

/// What the tag means that is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Element {
    #[default]
    Other,
    Script,
    Style,
    Frame,
    Base,
    Meta,
    Link,
    Animation,
    Named,
    Vml,
}

/// Whether the value itself opened the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// It did.
    Here,
    /// The page did, and the value closed the attribute it stood in.
    Quoted,
    /// The page did, and the value stands where attributes are.
    Bare,
}

/// What is known of the tag that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    opened: Opened,
    element: Element,
    start: usize,
    is_end: bool,
    /// A script that holds data (`application/ld+json`).
    is_data: bool,
    /// A script in another language.
    is_basic: bool,
    refreshes: bool,
    attributes: usize,
}

pub(super) struct Markup<'a> {
    value: &'a [u8],
    pub best: Best,
    /// Bytes that readers of scripts and styles went over.
    pub work: usize,
    tag: Tag,
    /// The value begins with the quote that it closes.
    pub closes_at_once: bool,
    /// The tag has no end yet.
    in_tag: bool,
    /// Scripts were read up to here.
    read_to: usize,
    closing: Option<usize>,
}

impl<'a> Markup<'a> {
    pub(super) fn new(value: &'a [u8], opened: Opened) -> Self {
        Self {
            value,
            best: Best::default(),
            work: 0,
            tag: Tag {
                opened,
                element: Element::Other,
                start: 0,
                is_end: false,
                is_data: false,
                is_basic: false,
                refreshes: false,
                attributes: 0,
            },
            closes_at_once: false,
            in_tag: false,
            read_to: 0,
            closing: None,
        }
    }

    fn see(&mut self, rule: Rule, confidence: Confidence, end: usize, hostile: bool) {
        let start = self.tag.start;
        self.best.see(Evidence { rule, confidence, start, end, hostile });
    }

    fn code(&mut self, text: &[u8]) -> Reading {
        let reading = script::read(text, 0, Start::Statement);
        self.work += reading.end;
        reading
    }
}

impl Sink for Markup<'_> {
    type Tag = (Tag, bool);

    fn state(&self) -> (Tag, bool) {
        (self.tag, self.in_tag)
    }

    fn restore(&mut self, (tag, in_tag): (Tag, bool)) {
        self.tag = tag;
        self.in_tag = in_tag;
    }

    fn tag(&mut self, name: &[u8], at: usize, is_end: bool) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let starts = |known: &str| ascii::starts(name, known.as_bytes());
        // `<script <b>`: the same tag goes on, whatever is in it.
        let goes_on = self.in_tag && self.tag.element == Element::Script && !self.tag.is_end && !is_end;
        self.in_tag = true;
        if goes_on {
            return;
        }
        let element = match () {
            () if is("script") => Element::Script,
            () if is("style") => Element::Style,
            () if has(FRAMES, name) || is("vmlframe") => Element::Frame,
            () if is("base") => Element::Base,
            () if is("meta") => Element::Meta,
            () if is("link") => Element::Link,
            () if is("set") || starts("animate") => Element::Animation,
            () if is("form") || is("img") || is("image") || is("a") || is("input") => Element::Named,
            () if is("import") || is("listener") || is("handler") || is("xml") => Element::Vml,
            () => Element::Other,
        };
        self.tag = Tag {
            opened: Opened::Here,
            element,
            start: at,
            is_end,
            is_data: false,
            is_basic: false,
            refreshes: false,
            attributes: 0,
        };
    }

    fn attribute(&mut self, attribute: &Attribute<'_>) {
        // `xlink:href`, and any prefix bound to it.
        let name = attribute.name.rsplit(|byte| *byte == b':').next().unwrap_or_default();
        let attribute = &Attribute { name, ..*attribute };
        self.tag.attributes += 1;
        let Some(value) = attribute.value else { return };
        let is_event = ascii::starts(name, b"on")
            && name.len() > 4
            && name.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        let is_style = name.eq_ignore_ascii_case(b"style");
        let is_address = has(URLS, name);
        let is_page = name.eq_ignore_ascii_case(b"srcdoc");
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("datasrc") && self.tag.opened == Opened::Here {
            self.see(Rule::Frame, High, attribute.end, true);
        }
        // No page has had these for twenty years.
        if (is("dynsrc") || is("lowsrc")) && self.tag.opened == Opened::Here && !self.tag.is_end {
            self.see(Rule::Page, High, attribute.end, false);
        }
        if !(is_event || is_style || is_address || is_page || self.tag.element != Element::Other) {
            return;
        }
        self.work += value.len();
        if self.tag.opened != Opened::Here {
            self.tag.start = attribute.start;
        }
        let decoded = entities::references(value);
        let text = decoded.as_ref().map_or(value, |(text, _)| text.as_slice());
        // Letters by number hide; addresses of mail are hidden from robots like that.
        let hides = decoded.as_ref().is_some_and(|(_, undone)| undone.hidden);
        if hides && is_address && ascii::starts(text.trim_ascii(), b"java") {
            self.see(Rule::Address, High, attribute.end, true);
        }
        self.special(attribute, text);
        if is_event {
            self.handler(attribute, text, has(EVENTS, name));
        } else if is_style {
            if let Some(confidence) = style::weigh(text) {
                self.see(Rule::Style, confidence, attribute.end, true);
            }
        } else if is_page {
            let confidence = if memchr::memchr(b'<', text).is_some() { High } else { Medium };
            self.see(Rule::Frame, confidence, attribute.end, false);
        } else if is_address {
            self.address(attribute, text);
        }
    }

    fn content(&mut self, at: usize) {
        self.in_tag = false;
        if self.tag.is_end {
            return;
        }
        match self.tag.element {
            Element::Script => self.script(at),
            Element::Style => self.style(at),
            _ => {}
        }
    }
}
