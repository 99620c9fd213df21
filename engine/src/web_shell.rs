//! Web shells and dangerous uploads (CWE-434, CAPEC-650): files that a server would run for whoever asks for them, and
//! requests for those that others have left behind.
//!
//! Told by the name of an uploaded file as servers and file systems read it (`name`), by code in its content that runs what a
//! request says (`content`), and by paths of programs that are known for it. A source of a program is an ordinary upload
//! in many applications: its name alone is at most Medium.
//! Sources: OWASP Unrestricted File Upload; RFC 7578 section 4.2; names and code of shells as their authors publish them.

use rasp_policy::class::Class;

use crate::decode::Field;
use crate::detector::{Detector, Evidence, Needs, Report, Rule};
use crate::finding::Confidence::{self, High, Low, Medium};
use crate::finding::{Part, RuleId};
use crate::mask;
use crate::message::Head;
use crate::reason::Reason;
use crate::ruleset::Inspection;

mod content;
mod name;

pub(crate) static DETECTOR: Detector = Detector { class: Class::WebShell, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs {
    alone: b"",
    bytes: b".<",
    needles: &[
        ".php",
        ".pht",
        ".phar",
        ".jsp",
        ".jsw",
        ".jsv",
        ".asp",
        ".ashx",
        ".asmx",
        ".asa",
        ".cer",
        ".cdx",
        ".cgi",
        ".cfm",
        ".shtm",
        ".stm",
        ".htaccess",
        ".htpasswd",
        ".user.ini",
        "web.config",
        "<?",
        "<%",
        "<script",
        "<jsp:",
        "<html",
        "<!doctype",
        "<svg",
        "<body",
        "<iframe",
        ". php",
        ". pht",
        ". jsp",
        ". asp",
        ".p\\",
        ".j\\",
        ".a\\",
    ],
};

const NAME: Rule =
    Rule { id: RuleId("webshell-name"), reason: "the name of the uploaded file is one that a server runs" };
const DISGUISED: Rule = Rule {
    id: RuleId("webshell-disguised"),
    reason: "the name of the uploaded file hides that a server runs it",
};
const SETTINGS: Rule = Rule {
    id: RuleId("webshell-settings"),
    reason: "the uploaded file changes what the server runs in its directory",
};
const SESSION: Rule = Rule {
    id: RuleId("webshell-session"),
    reason: "the uploaded file has the name of a session of PHP, which is read back as objects",
};
const CODE: Rule = Rule {
    id: RuleId("webshell-code"),
    reason: "the uploaded file holds code that runs what a request tells it to",
};
const POLYGLOT: Rule = Rule {
    id: RuleId("webshell-polyglot"),
    reason: "the uploaded file begins as a picture or a document and holds code of a server",
};
const TYPE: Rule = Rule {
    id: RuleId("webshell-type"),
    reason: "the uploaded file is said to be a picture or the like and begins as a page or a program",
};
const PROBE: Rule = Rule {
    id: RuleId("webshell-probe"),
    reason: "the uploaded file is a program that does nothing but show that it ran",
};
const PATH: Rule =
    Rule { id: RuleId("webshell-path"), reason: "the request is for a program that is known as a web shell" };

fn rules() -> Vec<Rule> {
    vec![NAME, DISGUISED, SETTINGS, SESSION, CODE, POLYGLOT, TYPE, PROBE, PATH]
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    let found = match field.part {
        Part::Path => path(field.value).map(|confidence| (PATH, confidence, 0..field.value.len())),
        Part::FileName => {
            name::judge(field.value).map(|(rule, confidence)| (rule, confidence, 0..field.value.len()))
        }
        Part::File => {
            report.budget().work(field.value.len().min(content::MOST))?;
            let is_media = report.budget().is_media();
            content::judge(field.value).or_else(|| {
                if is_media { content::begins(field.value) } else { None }.map(|at| (TYPE, Low, at))
            })
        }
        _ => None,
    };
    let Some((rule, confidence, at)) = found else { return Ok(()) };
    let shown = field.value.get(at.start..at.end.min(at.start + SHOWN)).unwrap_or_default();
    let sample = mask::sample(shown, is_word);
    report.find(field, Evidence { rule, confidence, at, sample });
    Ok(())
}

const SHOWN: usize = 64;

/// Whether a field of the head gives the name of an uploaded file: `X-Filename`, `X_File_Name`.
fn names_file(name: &[u8]) -> bool {
    const NAMES: &[&str] =
        &["xfilename", "filename", "xfile", "xuploadfilename", "xuploadname", "xoriginalfilename"];
    if !(5..20).contains(&name.len()) || !matches!(name.first(), Some(b'x' | b'X' | b'f' | b'F')) {
        return false;
    }
    // Each of them ends in an `e`.
    if name.last().is_some_and(|last| last.is_ascii_alphabetic() && last | 0x20 != b'e') {
        return false;
    }
    let letters = || name.iter().filter(|byte| byte.is_ascii_alphabetic()).map(u8::to_ascii_lowercase);
    NAMES.iter().any(|known| letters().eq(known.bytes()))
}

/// Whether a head gives such a name.
pub(crate) fn concerns(head: &Head<'_>) -> bool {
    let mut seen = false;
    // Nothing is refused here.
    let _ = head.fields.each(&mut |name, _| {
        seen |= names_file(name);
        Ok(())
    });
    seen
}

/// Judges the names of files in the fields of a head. Who uploads so is a program that stores what it gets: editors of
/// sources, which upload scripts honestly, use forms.
pub(crate) fn inspect_head(head: &Head<'_>, inspection: &mut Inspection) -> Result<(), Reason> {
    let mut report = Report::new(Class::WebShell, inspection);
    head.fields.each(&mut |name, value| {
        if names_file(name)
            && let Some((rule, confidence)) = name::judge(value)
        {
            let shown = value.get(..value.len().min(SHOWN)).unwrap_or_default();
            let evidence = Evidence {
                rule,
                confidence: confidence.max(High),
                at: 0..value.len(),
                sample: mask::sample(shown, is_word),
            };
            report.find(&Field { part: Part::Header, name, value }, evidence);
        }
        Ok(())
    })
}

/// Names of programs that are web shells and nothing else, without their ending.
const SHELLS: &[&str] = &[
    "c99",
    "c99shell",
    "r57",
    "r57shell",
    "wso",
    "wso2",
    "b374k",
    "alfa",
    "alfashell",
    "alfav4",
    "weevely",
    "indoxploit",
    "madspot",
    "cmdasp",
    "jspspy",
    "aspxspy",
    "chopper",
    "antsword",
    "behinder",
    "godzilla",
    "p0wny",
    "phpspy",
    "webadmin-shell",
    "mini-shell",
    "simattacker",
    "locus7s",
    "andela",
    "ak47shell",
];

/// Names that shells have, and other programs now and then.
const SUSPECTS: &[&str] = &[
    "shell", "cmd", "webshell", "backdoor", "eval", "exec", "cmdjsp", "jspcmd", "uploader", "bypass", "0day",
    "xshell",
];

/// A segment of a request path.
fn path(segment: &[u8]) -> Option<Confidence> {
    let dot = memchr::memrchr(b'.', segment)?;
    let (stem, end) = segment.split_at_checked(dot)?;
    if !name::is_run(end.get(1..)?) {
        return None;
    }
    let is_in = |list: &[&str]| list.iter().any(|known| stem.eq_ignore_ascii_case(known.as_bytes()));
    match () {
        () if is_in(SHELLS) => Some(High),
        () if is_in(SUSPECTS) => Some(Medium),
        () => None,
    }
}

/// Words that may be shown in a sample.
fn is_word(word: &[u8]) -> bool {
    const WORDS: &[&str] = &[
        "eval",
        "assert",
        "system",
        "exec",
        "passthru",
        "shell_exec",
        "popen",
        "proc_open",
        "_get",
        "_post",
        "_request",
        "_cookie",
        "_server",
        "runtime",
        "getruntime",
        "processbuilder",
        "request",
        "getparameter",
        "wscript",
        "shell",
        "jpg",
        "jpeg",
        "png",
        "gif",
        "htaccess",
        "user",
        "ini",
        "web",
        "config",
        "data",
        "base64_decode",
    ];
    name::is_run(word) || WORDS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests;
