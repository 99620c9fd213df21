//! Names of uploaded files, as file systems and servers read them.

use super::{DISGUISED, NAME, SESSION, SETTINGS};
use crate::ascii;
use crate::detector::Rule;
use crate::finding::Confidence::{self, High, Medium};

/// Endings of sources that people write and exchange.
const SOURCES: &[&str] = &["php", "jsp", "asp", "aspx", "cgi", "cfm", "ashx", "asmx", "jspx", "shtml"];

/// Endings that some server runs as well, and that hardly anybody gives to a source.
const RARE: &[&str] = &[
    "php3", "php4", "php5", "php6", "php7", "php8", "phps", "phtml", "pht", "phtm", "phar", "phpt", "pgif",
    "jspf", "jsw", "jsv", "jhtml", "asa", "cer", "cdx", "shtm", "stm", "cfml", "cfc",
];

/// Endings of what visitors may upload.
const HARMLESS: &[&str] = &[
    "jpg", "jpeg", "png", "gif", "webp", "bmp", "ico", "svg", "tif", "tiff", "pdf", "doc", "docx", "xls",
    "xlsx", "csv", "mp3", "mp4", "avi",
];

/// Files that change what a program does for whom they belong to, and that nobody uploads.
const OWNERS: &[&str] = &[
    ".htaccess",
    ".user.ini",
    "web.config",
    ".boto",
    ".netrc",
    ".pgpass",
    ".my.cnf",
    ".bashrc",
    ".profile",
    ".bash_profile",
    ".npmrc",
    ".pypirc",
    "authorized_keys",
];

/// Whether a server runs what ends so.
pub(super) fn is_run(end: &[u8]) -> bool {
    is_in(SOURCES, end) || is_in(RARE, end) || is_numbered(end)
}

/// `php907`: servers are told to run whatever begins so and goes on with digits.
fn is_numbered(end: &[u8]) -> bool {
    ascii::strip(end, b"php")
        .is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

pub(super) fn judge(file: &[u8]) -> Option<(Rule, Confidence)> {
    let last = file.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or_default();
    let (name, is_cut) = written(last);
    if is_in(OWNERS, name) {
        return Some((SETTINGS, High));
    }
    if is_session(name) {
        return Some((SESSION, High));
    }
    if is_hidden(file) {
        return Some((DISGUISED, High));
    }
    let mut ends = name.rsplit(|byte| *byte == b'.');
    let end = ends.next().unwrap_or_default();
    let before = ends.next().filter(|_| ends.next().is_some());
    // `php` is a name, and no ending.
    if end.len() < name.len() && is_run(end) {
        // `a.php\0.jpg`, `a.php.`, `a.asp::$DATA`, `a.jpg.php`.
        if is_cut || before.is_some_and(|before| is_in(HARMLESS, before)) {
            return Some((DISGUISED, High));
        }
        let confidence = if is_in(RARE, end) || is_numbered(end) { High } else { Medium };
        return Some((NAME, confidence));
    }
    // Servers that look at every ending run `a.php.jpg`, and those that stop at `;` run `a.asp;.jpg`.
    let is_pair = before.is_some_and(is_run) && is_in(HARMLESS, end);
    let semicolon = name.split(|byte| *byte == b';').next().filter(|head| head.len() < name.len());
    let is_headed = semicolon
        .and_then(|head| head.rsplit(|byte| *byte == b'.').next().filter(|end| end.len() < head.len()))
        .is_some_and(is_run);
    (is_pair || is_headed).then_some((DISGUISED, High))
}

/// `sess_` and an id, as PHP names the files of its sessions. Nothing else has such a name, and whoever can write one
/// writes objects that PHP makes.
fn is_session(name: &[u8]) -> bool {
    let is_id = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b',');
    ascii::strip(name, b"sess_").is_some_and(|id| (20..=256).contains(&id.len()) && id.iter().all(is_id))
}

/// `a. php`, `a.p\h\p`: what stands in the ending is dropped by whoever stores it.
fn is_hidden(file: &[u8]) -> bool {
    let Some(dot) = memchr::memrchr(b'.', file) else { return false };
    let end = file.get(dot + 1..).unwrap_or_default();
    let mut kept = [0; 8];
    let mut length = 0;
    for byte in end.iter().filter(|byte| !matches!(byte, b' ' | b'\t' | b'\\')) {
        let Some(slot) = kept.get_mut(length) else { return false };
        *slot = *byte;
        length += 1;
    }
    length < end.trim_ascii_end().len() && is_run(kept.get(..length).unwrap_or_default())
}

/// The name that a file gets: up to a NUL, without a stream of NTFS, and without dots and blanks at its end, which
/// Windows drops. And whether anything was dropped.
fn written(file: &[u8]) -> (&[u8], bool) {
    let mut name = file.split(|byte| *byte == 0).next().unwrap_or_default();
    for nul in [&b"%00"[..], b"\\x00", b"\\0"] {
        if let Some(at) = memchr::memmem::find(name, nul) {
            name = name.get(..at).unwrap_or_default();
        }
    }
    let stream = name.windows(2).position(|two| two == b"::").or_else(|| {
        // `a.php:.jpg`, but not the drive of `c:a`.
        memchr::memchr(b':', name).filter(|at| *at > 1)
    });
    name = name.get(..stream.unwrap_or(name.len())).unwrap_or_default();
    let kept = name
        .iter()
        .rposition(|byte| !matches!(byte, b'.' | b' ' | b'\t' | b'\r' | b'\n'))
        .map_or(0, |last| last + 1);
    let name = name.get(..kept).unwrap_or_default();
    (name, name.len() < file.len())
}

fn is_in(list: &[&str], word: &[u8]) -> bool {
    list.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}
