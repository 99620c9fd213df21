//! Code in an uploaded file: that of a server, and whether it runs what a request tells it to.

use std::ops::Range;

use memchr::memmem::find;

use super::{CODE, POLYGLOT, PROBE};
use crate::ascii;
use crate::detector::Rule;
use crate::finding::Confidence::{self, Certain, High};

/// Bytes behind the first code that are read for what it does, and bytes of a file that are searched for it.
const WINDOW: usize = 32 << 10;
pub(super) const MOST: usize = 1 << 20;

/// What runs a text as code or as a command in PHP, each followed by a bracket.
const PHP_RUNS: &[&str] = &[
    "eval",
    "assert",
    "system",
    "exec",
    "passthru",
    "shell_exec",
    "popen",
    "proc_open",
    "pcntl_exec",
    "create_function",
    "call_user_func",
    "call_user_func_array",
    "array_map",
    "array_filter",
    "usort",
    "preg_replace",
    "include",
    "require",
    "move_uploaded_file",
    "file_put_contents",
    "fwrite",
    "fputs",
    "unserialize",
];
/// What of a request PHP code reads.
const PHP_READS: &[&str] = &[
    "$_get",
    "$_post",
    "$_request",
    "$_cookie",
    "$_server[",
    "$_files",
    "php://input",
    "getallheaders",
    "$http_raw",
];
/// The same in one step, in any spelling.
const PHP_AT_ONCE: &[&str] = &[
    "eval(base64_decode",
    "eval(gzinflate",
    "eval(gzuncompress",
    "eval(str_rot13",
    "assert(base64_decode",
    "eval(\"?>\"",
    "eval('?>'",
];
const JSP_RUNS: &[&str] =
    &["runtime.getruntime", "processbuilder", "defineclass", "scriptenginemanager", "urlclassloader"];
const ASP_RUNS: &[&str] = &[
    "eval request",
    "eval(request",
    "execute request",
    "execute(request",
    "executeglobal request",
    "executeglobal(request",
    "wscript.shell",
    "shell.application",
    "system.diagnostics.process",
    "process.start",
    "eval(request.item",
    "scripting.filesystemobject",
];
const PAGE_READS: &[&str] =
    &["request.", "request(", "request[", "getparameter", "getheader", "getinputstream"];

/// How pictures and documents begin.
const HEADERS: &[&[u8]] =
    &[b"GIF8", b"\x89PNG", b"\xFF\xD8\xFF", b"BM", b"%PDF", b"RIFF", b"\0\0\x01\0", b"II*\0", b"MM\0*"];

pub(super) fn judge(file: &[u8]) -> Option<(Rule, Confidence, Range<usize>)> {
    let file = file.get(..MOST).unwrap_or(file);
    let is_picture = HEADERS.iter().any(|header| file.starts_with(header));
    [php(file, is_picture), page(file, is_picture)]
        .into_iter()
        .flatten()
        .max_by_key(|(_, confidence, _)| *confidence)
}

/// Where a file begins that is a page or a program by its first words.
pub(super) fn begins(file: &[u8]) -> Option<Range<usize>> {
    const STARTS: &[&[u8]] = &[
        b"<html",
        b"<!doctype html",
        b"<svg",
        b"<body",
        b"<iframe",
        b"<script",
        b"<?php",
        b"<?=",
        b"<%",
        b"<jsp:",
    ];
    let start = file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(file).trim_ascii_start();
    let at = file.len() - start.len();
    STARTS.iter().find(|known| ascii::starts(start, known)).map(|known| at..at + known.len())
}

fn php(file: &[u8], is_picture: bool) -> Option<(Rule, Confidence, Range<usize>)> {
    let start = memchr::memmem::find_iter(file, b"<?")
        .find(|at| opens_php(file.get(at + 2..).unwrap_or_default()))?;
    let (code, at) = behind(file, start);
    let is_named = code.starts_with(b"<?php");
    let reads = PHP_READS.iter().any(|read| find(&code, read.as_bytes()).is_some());
    let runs = PHP_RUNS.iter().any(|run| calls(&code, run.as_bytes()));
    // A function whose name is a value, or a command between back-ticks.
    let is_variable =
        ["$_get[", "$_post[", "$_request[", "$_cookie["].iter().any(|read| called(&code, read.as_bytes()));
    let at_once = PHP_AT_ONCE.iter().any(|once| find(&code, once.as_bytes()).is_some());
    let ticks = reads && memchr::memchr_iter(b'`', &code).take(2).count() == 2;
    match () {
        () if is_picture && (is_named || runs || at_once || is_variable) => Some((POLYGLOT, Certain, at)),
        () if is_picture => None,
        () if is_variable || reads && (runs && is_short(&code) || ticks && is_short(&code)) => {
            Some((CODE, Certain, at))
        }
        () if at_once => Some((CODE, High, at)),
        () if is_probe(file, &code) => Some((PROBE, High, at)),
        () => None,
    }
}

/// `<?php echo md5("a");unlink(__FILE__);?>`: a whole file that prints what it can only print where it is run, or takes
/// itself away.
fn is_probe(file: &[u8], code: &[u8]) -> bool {
    let is_whole = file.trim_ascii().len() <= LONGEST_PROBE && file.trim_ascii_start().starts_with(b"<?");
    let prints = ["echo", "print", "die", "exit"].iter().any(|word| find(code, word.as_bytes()).is_some());
    let digests = ["md5", "sha1", "crc32", "base64_decode", "str_rot13", "php_uname", "bin2hex"];
    let is_word = code.len() <= SHORTEST_PROGRAM && !code.contains(&b'$') && prints_word(code);
    let counts = digests.iter().any(|function| calls(code, function.as_bytes()));
    is_whole
        && (find(code, b"unlink(__file__)").is_some()
            || find(code, b"phpinfo()").is_some()
            || prints && (counts || is_word) && !code.contains(&b'{'))
}

/// A text in quotes without a blank: a greeting of an exercise has one.
fn prints_word(code: &[u8]) -> bool {
    let Some(quote) = memchr::memchr2(b'"', b'\'', code) else { return false };
    let text = code.get(quote + 1..).unwrap_or_default();
    let text = text.split(|byte| matches!(byte, b'"' | b'\'')).next().unwrap_or_default();
    text.len() > 7 && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

const SHORTEST_PROGRAM: usize = 96;

const LONGEST_PROBE: usize = 320;

/// A shell does little else. Programs of a thousand lines read requests and write files as well.
fn is_short(code: &[u8]) -> bool {
    code.len() <= 2 << 10
}

fn page(file: &[u8], is_picture: bool) -> Option<(Rule, Confidence, Range<usize>)> {
    let start = find(file, b"<%").or_else(|| find(file, b"<jsp:scriptlet"))?;
    let (code, at) = behind(file, start);
    let any = |list: &[&str]| list.iter().any(|word| find(&code, word.as_bytes()).is_some());
    let (java, asp, reads) = (any(JSP_RUNS), any(ASP_RUNS), any(PAGE_READS));
    match () {
        () if is_picture && (java || asp) => Some((POLYGLOT, Certain, at)),
        () if (java || asp) && reads => Some((CODE, Certain, at)),
        () if java => Some((CODE, High, at)),
        () => None,
    }
}

/// The code from its beginning, in lower case and bounded, and where the shown part of it is.
fn behind(file: &[u8], start: usize) -> (Vec<u8>, Range<usize>) {
    let code = file.get(start..).unwrap_or_default();
    let code = code.get(..WINDOW).unwrap_or(code);
    (code.to_ascii_lowercase(), start..start + code.len())
}

/// `<?php` and `<?=`, and `<?` before a blank; not `<?xml`.
fn opens_php(rest: &[u8]) -> bool {
    rest.first().is_some_and(|byte| *byte == b'=' || byte.is_ascii_whitespace())
        || ascii::starts(rest, b"php") && rest.get(3).is_none_or(u8::is_ascii_whitespace)
}

/// The function is called: its name is a word of its own, and a bracket or, for statements, a blank follows.
fn calls(code: &[u8], name: &[u8]) -> bool {
    memchr::memmem::find_iter(code, name).any(|at| {
        let before = at.checked_sub(1).and_then(|before| code.get(before));
        let is_joined = before
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'>' | b':'));
        let rest = code.get(at + name.len()..).unwrap_or_default().trim_ascii_start();
        let opens = matches!(rest.first(), Some(b'(' | b'/'))
            || (name == b"include" || name == b"require") && rest.starts_with(b"$_");
        !is_joined && opens
    })
}

/// A value of the request is called as a function: `$_GET['f']($_GET['a'])`.
fn called(code: &[u8], read: &[u8]) -> bool {
    memchr::memmem::find_iter(code, read).any(|at| {
        let rest = code.get(at + read.len()..).unwrap_or_default();
        let rest = rest.get(..64).unwrap_or(rest);
        memchr::memchr(b']', rest)
            .is_some_and(|end| rest.get(end + 1..).unwrap_or_default().trim_ascii_start().starts_with(b"("))
    })
}
