//! Judges attributes: event handlers, addresses, and those that mean something on one element only.

use super::{Element, Markup, Opened};
use crate::ascii;
use crate::finding::Confidence::{Certain, High, Low, Medium};
use crate::xss::html::Attribute;
use crate::xss::names::{SENSITIVE, has};
use crate::xss::rules::Rule;
use crate::xss::url::{self, Scheme};

impl Markup<'_> {
    pub(super) fn handler(&mut self, attribute: &Attribute<'_>, text: &[u8], known: bool) {
        let rule = if self.tag.opened == Opened::Here { Rule::Handler } else { Rule::Attribute };
        let text = text.trim_ascii();
        let component = attribute.name.iter().any(u8::is_ascii_uppercase) && text.starts_with(b"{");
        let reading = self.code(text);
        let strong = match (self.tag.opened, known) {
            _ if attribute.name.is_empty() => Low,
            // `onClick={close}`: a component, and its braces hold a function that nobody calls here.
            _ if component => {
                if reading.attacks() && reading.hostile && !holds(text, b"=>") {
                    High
                } else {
                    Low
                }
            }
            _ if text.is_empty() => match (self.tag.opened, known) {
                (Opened::Quoted, true) if self.tag.attributes <= 1 => High,
                // It breaks off where the page goes on.
                (Opened::Here, true) if attribute.end >= self.value.len() => High,
                _ => Low,
            },
            (Opened::Bare, _) => {
                if reading.attacks() {
                    High
                } else {
                    Low
                }
            }
            (_, true) if reading.attacks() => Certain,
            _ if reading.attacks() => High,
            (Opened::Here, true) => High,
            // `<a onwhatever=f(1)>`: an event that is not known yet.
            (Opened::Here, false) if reading.calls && !self.tag.is_end => High,
            (Opened::Here, false) if !component && !is_word(attribute.name) && !self.tag.is_end => High,
            (Opened::Quoted, true) if reading.runs() || self.tag.attributes <= 1 || self.closes_at_once => {
                High
            }
            _ => Medium,
        };
        self.see(rule, strong, attribute.end, reading.hostile);
    }

    pub(super) fn address(&mut self, attribute: &Attribute<'_>, text: &[u8]) {
        let name = attribute.name;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let loads = is("src")
            || is("href")
            || is("xlink:href")
            || is("data")
            || is("code")
            || is("codebase")
            || is("classid");
        let text = match refresh(text) {
            Some(target) if is("content") => target,
            _ => text,
        };
        let vague = is("value") || is("target") || is("content") && !self.tag.refreshes;
        let scheme = url::scheme(text);
        let own = self.tag.opened == Opened::Here;
        // An entity of script, as old engines ran it.
        if own && text.starts_with(b"&{") {
            self.see(Rule::Address, High, attribute.end, true);
        }
        match scheme {
            Scheme::Script(start) => {
                let code = text.get(start..).unwrap_or_default();
                let reading = self.code(code);
                let confidence = match () {
                    () if is_idle(code) => Low,
                    () if reading.attacks() => Certain,
                    () if vague || !own && !reading.runs() => Medium,
                    () => High,
                };
                self.see(Rule::Address, confidence, attribute.end, reading.hostile || own);
            }
            Scheme::Document if !vague => self.see(Rule::Address, High, attribute.end, true),
            Scheme::Svg if matches!(self.tag.element, Element::Frame | Element::Script) => {
                self.see(Rule::Address, High, attribute.end, true);
            }
            Scheme::Wrapper if loads => self.see(Rule::Address, Medium, attribute.end, false),
            _ => {}
        }
        if !own || self.tag.is_end {
            return;
        }
        match self.tag.element {
            Element::Script if loads && !text.starts_with(b"{") => {
                self.see(Rule::Script, High, attribute.end, false);
            }
            Element::Base if is("href") => self.see(Rule::Page, High, attribute.end, false),
            Element::Meta if is("content") && self.tag.refreshes => {
                self.see(Rule::Page, High, attribute.end, false);
            }
            Element::Frame if loads && !text.starts_with(b"{") => {
                let confidence = if is_player(text) { Medium } else { High };
                self.see(Rule::Frame, confidence, attribute.end, false);
            }
            Element::Vml if is("implementation") || is("handler") || loads => {
                self.see(Rule::Frame, High, attribute.end, false);
            }
            _ => {}
        }
    }

    /// Attributes that mean something on one element only.
    pub(super) fn special(&mut self, attribute: &Attribute<'_>, text: &[u8]) {
        let name = attribute.name;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let text = text.trim_ascii();
        match self.tag.element {
            Element::Meta if is("http-equiv") => {
                self.tag.refreshes |= text.eq_ignore_ascii_case(b"refresh");
                if self.tag.refreshes
                    || text.eq_ignore_ascii_case(b"set-cookie")
                    || text.eq_ignore_ascii_case(b"link")
                {
                    self.see(Rule::Page, High, attribute.end, false);
                }
            }
            Element::Meta if is("content") && is_refresh(text) => {
                self.tag.refreshes = true;
                self.see(Rule::Page, High, attribute.end, false);
            }
            Element::Meta if is("charset") || is("content") => {
                let holds = |name: &[u8]| ascii::contains(text, name);
                let holds_utf7 = holds(b"utf-7") || holds(b"utf7");
                if holds_utf7 || ascii::contains(text, b"mac") && is("charset") {
                    self.see(Rule::Page, High, attribute.end, false);
                }
            }
            Element::Link if is("rel") => {
                let loads = text.eq_ignore_ascii_case(b"stylesheet") || text.eq_ignore_ascii_case(b"import");
                if loads {
                    self.see(Rule::Page, High, attribute.end, false);
                }
            }
            Element::Animation if is("attributename") => {
                let event = ascii::starts(text, b"on");
                let address = text.eq_ignore_ascii_case(b"href") || text.eq_ignore_ascii_case(b"xlink:href");
                if event || address {
                    self.see(Rule::Handler, High, attribute.end, false);
                }
            }
            Element::Named if (is("name") || is("id")) && (has(SENSITIVE, text) || has(CLOBBERED, text)) => {
                self.see(Rule::Clobber, Medium, attribute.end, false);
            }
            Element::Style if is("type") && ascii::contains(text, b"script") => {
                self.see(Rule::Style, High, attribute.end, true);
            }
            Element::Script if is("type") || is("language") => {
                self.tag.is_data = ascii::contains(text, b"json");
                self.tag.is_basic = ascii::contains(text, b"vb");
            }
            _ => {}
        }
    }
}

/// Properties that scripts of a page ask elements for.
const CLOBBERED: &[&str] = &[
    "action",
    "attributes",
    "childnodes",
    "children",
    "firstchild",
    "implementation",
    "innerhtml",
    "nextsibling",
    "nodename",
    "nodetype",
    "nodevalue",
    "parentelement",
    "previoussibling",
    "removechild",
    "setattribute",
    "submit",
];

/// It begins as handlers do, but is a word: `once`, `online`, `onward`.
fn is_word(name: &[u8]) -> bool {
    const STARTS: &[&str] =
        &["once", "only", "one", "onl", "ont", "ong", "onb", "onset", "onsite", "onward", "on_"];
    STARTS.iter().any(|start| ascii::starts(name, start.as_bytes()))
}

/// `javascript:void(0)`: links that do nothing, as ordinary pages have them.
/// What editors put into pages for the people who write them, with an address that says so.
const PLAYERS: &[&[u8]] = &[
    b"https://www.youtube.com/embed/",
    b"https://www.youtube-nocookie.com/embed/",
    b"https://player.vimeo.com/video/",
    b"https://www.google.com/maps/embed",
    b"https://open.spotify.com/embed/",
    b"https://w.soundcloud.com/player/",
    b"https://codepen.io/",
    b"https://www.slideshare.net/",
    b"https://docs.google.com/",
    b"https://calendar.google.com/calendar/embed",
    b"https://www.openstreetmap.org/export/embed",
];

fn is_player(address: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`');
    address.iter().all(is_plain) && PLAYERS.iter().any(|player| address.starts_with(player))
}

fn is_idle(code: &[u8]) -> bool {
    let code = code.trim_ascii();
    let code = code.strip_suffix(b";").unwrap_or(code).trim_ascii();
    code.is_empty()
        || [&b"void(0)"[..], b"void 0", b"void(null)", b"//", b"false", b"return false"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(code))
}

/// `0; url=address`
fn is_refresh(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = text.get(digits..).unwrap_or_default().trim_ascii_start();
    let Some(rest) = rest.strip_prefix(b";") else { return false };
    digits > 0 && ascii::starts(rest.trim_ascii_start(), b"url")
}

/// `0; url=address`: the address.
fn refresh(text: &[u8]) -> Option<&[u8]> {
    let at = memchr::memrchr(b'=', text).filter(|_| memchr::memchr(b';', text).is_some());
    let at = at.or_else(|| memchr::memchr(b';', text))?;
    let first = memchr::memchr(b';', text)?;
    let after = text.get(first + 1..)?.trim_ascii_start();
    match after.get(..3) {
        Some(word) if word.eq_ignore_ascii_case(b"url") => {
            let equals = memchr::memchr(b'=', after)?;
            after.get(equals + 1..)
        }
        _ if url::scheme(after) == Scheme::Other => text.get(at + 1..),
        _ => Some(after),
    }
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
