//! Tags and classes of text formats that make a parser run something.

use crate::detector::Rule;
use crate::finding::Confidence::{self, Certain, High, Low, Medium};
use crate::marks::{At, Mark, rule};

pub(super) static JAVA: Rule = rule("deserialization-java", "the value is an object in the format of Java");
pub(super) static DOTNET: Rule =
    rule("deserialization-dotnet", "the value is an object in the binary format of .NET");
pub(super) static PHP: Rule = rule("deserialization-php", "the value is an object in the format of PHP");
pub(super) static PICKLE: Rule = rule("deserialization-python", "the value is a pickle of Python");
pub(super) static RUBY: Rule = rule("deserialization-ruby", "the value is an object in the format of Ruby");
static YAML: Rule =
    rule("deserialization-yaml", "the value has a tag that makes a YAML parser create an object of a class");
static NODE: Rule =
    rule("deserialization-node", "the value has a function that a JavaScript parser of objects runs");
static GADGET: Rule =
    rule("deserialization-gadget", "the value names a class that runs something when it is read back");

/// Every rule.
pub(super) static RULES: [&Rule; 8] = [&JAVA, &DOTNET, &PHP, &PICKLE, &RUBY, &YAML, &NODE, &GADGET];

pub(super) static MARKS: &[Mark] = &[
    Mark { word: "_$$nd_func$$_", rule: &NODE, judge: |at: &At<'_>| Some(at.place.lower(Certain)) },
    Mark { word: "!!python/", rule: &YAML, judge: tag },
    Mark { word: "!!javax.", rule: &YAML, judge: tag },
    Mark { word: "!!java.", rule: &YAML, judge: tag },
    Mark { word: "!!com.", rule: &YAML, judge: tag },
    Mark { word: "!!org.", rule: &YAML, judge: tag },
    Mark { word: "!!js/function", rule: &YAML, judge: tag },
    Mark { word: "!ruby/object", rule: &YAML, judge: tag },
    Mark { word: "!ruby/hash", rule: &YAML, judge: tag },
    Mark { word: "cos\nsystem", rule: &PICKLE, judge: opcode },
    Mark { word: "cposix\nsystem", rule: &PICKLE, judge: opcode },
    Mark { word: "cnt\nsystem", rule: &PICKLE, judge: opcode },
    Mark { word: "c__builtin__\n", rule: &PICKLE, judge: opcode },
    Mark { word: "cbuiltins\n", rule: &PICKLE, judge: opcode },
    Mark { word: "csubprocess\n", rule: &PICKLE, judge: opcode },
    Mark { word: "cos\npopen", rule: &PICKLE, judge: opcode },
    Mark { word: "java.beans.xmldecoder", rule: &GADGET, judge: class },
    Mark { word: "java.beans.eventhandler", rule: &GADGET, judge: class },
    Mark { word: "serialization='custom'", rule: &GADGET, judge: element },
    Mark { word: "serialization=\"custom\"", rule: &GADGET, judge: element },
    Mark { word: "class='dynamic-proxy'", rule: &GADGET, judge: element },
    Mark { word: "class=\"dynamic-proxy\"", rule: &GADGET, judge: element },
    Mark { word: "<dynamic-proxy>", rule: &GADGET, judge: element },
    Mark { word: "javax.naming.ldap.rdn_-rdnentry", rule: &GADGET, judge: element },
    Mark { word: "org.codehaus.groovy.runtime.methodclosure", rule: &GADGET, judge: class },
    Mark { word: "templatesimpl", rule: &GADGET, judge: class },
    Mark { word: "jdbcrowsetimpl", rule: &GADGET, judge: class },
    Mark { word: "invokertransformer", rule: &GADGET, judge: class },
    Mark { word: "clonetransformer", rule: &GADGET, judge: class },
    Mark { word: "forclosure", rule: &GADGET, judge: word },
    Mark { word: "whileclosure", rule: &GADGET, judge: word },
    Mark { word: "instantiatefactory", rule: &GADGET, judge: word },
    Mark { word: "instantiatetransformer", rule: &GADGET, judge: class },
    Mark { word: "prototypeclonefactory", rule: &GADGET, judge: word },
    Mark { word: "prototypeserializationfactory", rule: &GADGET, judge: word },
    Mark { word: "system.windows.data.objectdataprovider", rule: &GADGET, judge: class },
    Mark { word: "typeconfusedelegate", rule: &GADGET, judge: class },
    Mark { word: "system.diagnostics.process, system", rule: &GADGET, judge: class },
    Mark { word: "class=\"java.lang.processbuilder\"", rule: &GADGET, judge: element },
    Mark { word: "class='java.lang.processbuilder'", rule: &GADGET, judge: element },
    Mark { word: "class=\"java.lang.runtime\"", rule: &GADGET, judge: element },
    Mark { word: "wrapperconnectionpooldatasource", rule: &GADGET, judge: class },
    Mark {
        word: "com.sun.xml.internal.bind.v2.runtime.unmarshaller.base64data",
        rule: &GADGET,
        judge: element,
    },
    Mark { word: "propertypathfactorybean", rule: &GADGET, judge: class },
    Mark { word: "dbcp.basicdatasource", rule: &GADGET, judge: word },
    Mark { word: "java.lang.autocloseable", rule: &GADGET, judge: alone },
    Mark { word: "java.net.inet4address", rule: &GADGET, judge: alone },
];

/// Where a node begins: `key: !!x`, `- !!x`, `[!!x`.
fn tag(at: &At<'_>) -> Option<Confidence> {
    let starts = at
        .last()
        .is_none_or(|last| matches!(last, b'[' | b'{' | b',' | b' ' | b'\n' | b'\t' | b'"' | b'\'' | b'>'));
    let dark = at
        .last_dark()
        .is_none_or(|last| matches!(last, b'[' | b'{' | b',' | b':' | b'-' | b'"' | b'\'' | b'>'));
    if !starts {
        return None;
    }
    // A whole document of YAML begins with a key.
    Some(if dark {
        if at.place.lines < 12 && at.place.is_line() { High } else { Medium }
    } else {
        at.place.lower(Medium)
    })
}

/// `cos\nsystem\n`: the opcode for a global name, at the start or behind another opcode.
#[expect(clippy::unnecessary_wraps, reason = "of the type of the table")]
fn opcode(at: &At<'_>) -> Option<Confidence> {
    let starts = at.before.is_empty()
        || at.last().is_some_and(|last| !last.is_ascii_alphanumeric() || last < b' ')
        || at.before.len() < 8;
    Some(if starts && at.place.lines < 12 && !at.before.contains(&b' ') { High } else { Low })
}

/// In XML, JSON or a word by itself. Stack traces name classes behind `at`.
#[expect(clippy::unnecessary_wraps, reason = "of the type of the table")]
fn class(at: &At<'_>) -> Option<Confidence> {
    let is_data = matches!(at.value.trim_ascii_start().first(), Some(b'<' | b'{' | b'['));
    let traced = memchr::memmem::find(at.near(), b"at ").is_some();
    Some(if is_data && !traced || at.place.is_word() { High } else { Medium })
}

/// Elements and attributes of XML.
#[expect(clippy::unnecessary_wraps, reason = "of the type of the table")]
fn element(at: &At<'_>) -> Option<Confidence> {
    let is_xml = at.value.trim_ascii_start().starts_with(b"<");
    let is_prose =
        at.value.trim_ascii_start().starts_with(b"<p>") || at.value.trim_ascii_start().starts_with(b"<h");
    let alone = at.place.is_word()
        && !at.behind.iter().take(64).any(u8::is_ascii_whitespace)
        && at.value.contains(&b'.');
    Some(if is_xml && !is_prose || alone { High } else { Medium })
}

#[expect(clippy::unnecessary_wraps, reason = "of the type of the table")]
fn word(at: &At<'_>) -> Option<Confidence> {
    Some(if at.place.is_word() { High } else { Medium })
}

/// As the type of an object in JSON, and nothing else.
#[expect(clippy::unnecessary_wraps, reason = "of the type of the table")]
fn alone(at: &At<'_>) -> Option<Confidence> {
    let alone = at.before.is_empty() && at.behind.is_empty();
    Some(if alone { High } else { Low })
}
