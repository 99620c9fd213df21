//! What a value must have to be worth reading: markup, or a byte of code together with a word without which no rule
//! finds anything.

use crate::detector::Needs;

/// Names of the page and the browser are needles, because code does nothing without one; so are the ways to spell them
/// otherwise. Parts of words are enough.
pub(super) const NEEDS: Needs = Needs {
    alone: b"<",
    bytes: b"(=`&\\:[\xBC\xAB\xB9\xA9\xA4\x88",
    needles: &[
        // Schemes, styles, elements that look-alikes and references open.
        "script",
        "data:",
        "mocha:",
        "cript:",
        "vbs",
        "pression",
        "binding",
        "behavior",
        "url(",
        "@import",
        "style",
        "srcdoc",
        "formaction",
        "<![cdata[",
        "img",
        "svg",
        "iframe",
        "meta",
        "link",
        "base",
        // Events after a quote or a blank.
        "\"on",
        "'on",
        "`on",
        " on",
        "/on",
        "\ton",
        "\non",
        "\ron",
        "\x0bon",
        "\x0con",
        "+on",
        "\0on",
        // Other spellings.
        "\\u",
        "\\x",
        "\\74",
        "\\07",
        "&#",
        "&tab",
        "&newline",
        "&colon",
        "&lpar",
        "&lt",
        "&amp",
        "&quot",
        "&apos",
        "adw-",
        "![]",
        "this[",
        "&{",
        // Names.
        "activexobject",
        "alert",
        "appendchild",
        "atob",
        "body",
        "btoa",
        "clipboard",
        "confirm",
        "console",
        "constructor",
        "cookie",
        "createelement",
        "createobjecturl",
        "decodeuri",
        "defaultview",
        "document",
        "domain",
        "domparser",
        "eval",
        "eventsource",
        "exec",
        "fetch",
        "frames",
        "fromcharcode",
        "fromcodepoint",
        "function",
        "generatecrmfrequest",
        "getelement",
        "globalthis",
        "history",
        "html",
        "import",
        "indexeddb",
        "jquery",
        "localstorage",
        "location",
        "msgbox",
        "navigator",
        "opener",
        "parent",
        "postmessage",
        "prompt",
        "queryselector",
        "reflect",
        "self",
        "sendbeacon",
        "serviceworker",
        "sessionstorage",
        "setimmediate",
        "setinterval",
        "settimeout",
        "showmodaldialog",
        "top",
        "unescape",
        "websocket",
        "window",
        "worker",
        "write",
        "xmlhttprequest",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xss::names::SENSITIVE;

    #[test]
    fn every_name_that_counts_is_a_needle_or_holds_one() {
        for name in SENSITIVE {
            assert!(NEEDS.needles.iter().any(|needle| name.contains(needle)), "{name}");
        }
    }
}
