//! Names of uploaded files, as file systems and servers read them.

use super::{DISGUISED, NAME, SETTINGS};
use crate::detector::Rule;
use crate::finding::Confidence::{self, High, Medium};

/// Endings of sources that people write and exchange.
const SOURCES: &[&str] = &["php", "jsp", "asp", "aspx", "cgi", "cfm", "ashx", "asmx", "jspx", "shtml"];

/// Endings that some server runs as well, and that hardly anybody gives to a source.
const RARE: &[&str] = &[
    "php3", "php4", "php5", "php6", "php7", "php8", "phtml", "pht", "phtm", "phar", "phpt", "pgif", "jspf",
    "jsw", "jsv", "jhtml", "asa", "cer", "cdx", "shtm", "stm", "cfml", "cfc",
];

/// Endings of what visitors may upload.
const HARMLESS: &[&str] = &[
    "jpg", "jpeg", "png", "gif", "webp", "bmp", "ico", "svg", "tif", "tiff", "pdf", "doc", "docx", "xls",
    "xlsx", "csv", "mp3", "mp4", "avi",
];

/// Whether a server runs what ends so.
pub(super) fn is_run(end: &[u8]) -> bool {
    is_in(SOURCES, end) || is_in(RARE, end)
}

pub(super) fn judge(file: &[u8]) -> Option<(Rule, Confidence)> {
    let last = file.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or_default();
    let (name, is_cut) = written(last);
    if [&b".htaccess"[..], b".user.ini", b"web.config"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return Some((SETTINGS, High));
    }
    let mut ends = name.rsplit(|byte| *byte == b'.');
    let end = ends.next().unwrap_or_default();
    let before = ends.next().filter(|_| ends.next().is_some());
    if is_run(end) {
        // `a.php\0.jpg`, `a.php.`, `a.asp::$DATA`, `a.jpg.php`.
        if is_cut || before.is_some_and(|before| is_in(HARMLESS, before)) {
            return Some((DISGUISED, High));
        }
        let confidence = if is_in(RARE, end) { High } else { Medium };
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
