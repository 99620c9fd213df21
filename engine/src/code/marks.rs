//! Names and tags that nothing but code has: found in one pass, whatever stands around them.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::calls::is_name;

/// What a mark is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `<?php`, `<?=`, `[php]`
    PhpTag,
    /// `<%@ page import=`
    Page,
    /// `$_GET[`
    PhpGlobal,
    /// `auto_prepend_file=`
    PhpSetting,
    /// `process.mainModule`
    Node,
    /// `module.exports=`, which a parameter never has.
    Module,
    /// `__subclasses__`
    Python,
    /// `%x{`
    Ruby,
    /// The name of a class of Java that runs, reads or loads something.
    JavaClass,
    /// The beginning of the name of a class of Java.
    JavaName,
    /// Digits of the number that old parsers of Java and PHP never finish to read.
    Number,
}

use Kind as K;

static MARKS: &[(&str, Kind)] = &[
    ("<?", K::PhpTag),
    ("[php]", K::PhpTag),
    ("[/php]", K::PhpTag),
    ("[\\php]", K::PhpTag),
    ("{php}", K::PhpTag),
    ("{PHP}", K::PhpTag),
    ("[PHP]", K::PhpTag),
    ("[/PHP]", K::PhpTag),
    ("{/php}", K::PhpTag),
    ("{/PHP}", K::PhpTag),
    ("<%@ page", K::Page),
    ("<%@page", K::Page),
    ("<%@ Page", K::Page),
    ("<%eval", K::Page),
    ("<%execute", K::Page),
    ("$_GET", K::PhpGlobal),
    ("$_POST", K::PhpGlobal),
    ("$_REQUEST", K::PhpGlobal),
    ("$_COOKIE", K::PhpGlobal),
    ("$_SERVER", K::PhpGlobal),
    ("$_SESSION", K::PhpGlobal),
    ("$_FILES", K::PhpGlobal),
    ("$_ENV", K::PhpGlobal),
    ("$GLOBALS", K::PhpGlobal),
    ("$HTTP_RAW_POST_DATA", K::PhpGlobal),
    ("$HTTP_POST_VARS", K::PhpGlobal),
    ("$HTTP_GET_VARS", K::PhpGlobal),
    ("allow_url_include", K::PhpSetting),
    ("allow_url_fopen", K::PhpSetting),
    ("auto_prepend_file", K::PhpSetting),
    ("auto_append_file", K::PhpSetting),
    ("disable_functions", K::PhpSetting),
    ("open_basedir", K::PhpSetting),
    ("safe_mode", K::PhpSetting),
    ("suhosin.simulation", K::PhpSetting),
    ("cgi.force_redirect", K::PhpSetting),
    ("cgi.redirect_status_env", K::PhpSetting),
    ("extension_dir", K::PhpSetting),
    ("opcache.", K::PhpSetting),
    ("mbstring.regex_", K::PhpSetting),
    ("unserialize_max_depth", K::PhpSetting),
    ("unserialize_callback_func", K::PhpSetting),
    ("session.save_path", K::PhpSetting),
    ("session.save_handler", K::PhpSetting),
    ("session.upload_progress.", K::PhpSetting),
    ("session.serialize_handler", K::PhpSetting),
    ("user_ini.filename", K::PhpSetting),
    ("assert.callback", K::PhpSetting),
    ("zend.assertions", K::PhpSetting),
    ("child_process", K::Node),
    ("process.mainModule", K::Node),
    ("process.binding", K::Node),
    ("process[\"", K::Node),
    ("process['", K::Node),
    ("process[mainModule", K::Node),
    ("process[req.", K::Node),
    ("require[\"", K::Node),
    ("require['", K::Node),
    ("require[req.", K::Node),
    ("Module:prototype", K::Node),
    ("module.exports=", K::Module),
    ("process.env", K::Node),
    ("global.process", K::Node),
    ("constructor.constructor", K::Node),
    ("constructor:constructor", K::Node),
    ("_$$ND_FUNC$$_", K::Node),
    ("__js_function", K::Node),
    ("require.main", K::Node),
    ("new Function(", K::Node),
    ("new Function (", K::Node),
    ("__import__", K::Python),
    ("__subclasses__", K::Python),
    ("__globals__", K::Python),
    ("__builtins__", K::Python),
    ("__bases__", K::Python),
    ("__mro__", K::Python),
    ("%x{", K::Ruby),
    ("%x(", K::Ruby),
    ("ProcessBuilder", K::JavaClass),
    ("java.lang.Runtime", K::JavaClass),
    ("ScriptEngineManager", K::JavaClass),
    ("java.lang.ClassLoader", K::JavaClass),
    ("java.Runtime", K::JavaClass),
    ("URLClassLoader", K::JavaClass),
    ("Class.forName", K::JavaClass),
    ("MethodAccessor.denyMethodExecution", K::JavaClass),
    ("getDeclaredField", K::JavaClass),
    ("java.", K::JavaName),
    ("javax.", K::JavaName),
    ("com.opensymphony.", K::JavaName),
    ("com.sun.", K::JavaName),
    ("org.omg.", K::JavaName),
    ("javassist", K::JavaName),
    ("sun.reflect", K::JavaName),
    (".22507385850720", K::Number),
];

/// The marks in lower case, without those that are in others, for the prefilter.
pub(super) const NEEDLES: &[&str] = &[
    ".22507385850720",
    "<?",
    "[php]",
    "[/php]",
    "[\\php]",
    "{php}",
    "{/php}",
    "<%@ page",
    "<%@page",
    "<%eval",
    "<%execute",
    "$_get",
    "$_post",
    "$_request",
    "$_cookie",
    "$_server",
    "$_session",
    "$_files",
    "$_env",
    "$globals",
    "$http_raw_post_data",
    "$http_post_vars",
    "$http_get_vars",
    "allow_url_include",
    "allow_url_fopen",
    "auto_prepend_file",
    "auto_append_file",
    "disable_functions",
    "open_basedir",
    "safe_mode",
    "suhosin.simulation",
    "cgi.force_redirect",
    "cgi.redirect_status_env",
    "extension_dir",
    "opcache.",
    "mbstring.regex_",
    "unserialize_max_depth",
    "unserialize_callback_func",
    "session.save_path",
    "session.save_handler",
    "session.upload_progress.",
    "session.serialize_handler",
    "user_ini.filename",
    "assert.callback",
    "zend.assertions",
    "process[\"",
    "process['",
    "process[mainmodule",
    "process[req.",
    "require[\"",
    "require['",
    "require[req.",
    "module:prototype",
    "module.exports=",
    "${'",
    "${\"",
    "${$",
    "${@",
    "$ {",
    "$  ",
    "child_process",
    "process.mainmodule",
    "process.binding",
    "process.env",
    "global.process",
    "constructor.constructor",
    "constructor:constructor",
    "_$$nd_func$$_",
    "__js_function",
    "require.main",
    "new function(",
    "new function (",
    "__import__",
    "__subclasses__",
    "__globals__",
    "__builtins__",
    "__bases__",
    "__mro__",
    "%x{",
    "%x(",
    "processbuilder",
    "java.lang.runtime",
    "scriptenginemanager",
    "java.lang.classloader",
    "java.runtime",
    "urlclassloader",
    "class.forname",
    "methodaccessor.denymethodexecution",
    "getdeclaredfield",
    "java.",
    "javax.",
    "com.opensymphony.",
    "com.sun.",
    "org.omg.",
    "javassist",
    "sun.reflect",
];

/// The same for every policy, so compiled once. Case matters in all of these languages where it does here.
static WORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let words = MARKS.iter().map(|(word, _)| word);
    AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(words).ok()
});

/// A mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub kind: Kind,
    pub start: usize,
    /// Where the mark and the name that it begins end.
    pub end: usize,
}

/// Every mark from the left.
pub(super) fn find(value: &[u8]) -> impl Iterator<Item = Mark> {
    WORDS.as_ref().into_iter().flat_map(move |words| words.find_iter(value)).filter_map(move |found| {
        let (_, kind) = MARKS.get(found.pattern().as_usize())?;
        let behind = value.get(found.end()..).unwrap_or_default();
        let name =
            behind.iter().take(96).take_while(|byte| is_name(**byte) || matches!(byte, b'.' | b'$')).count();
        let end = match kind {
            K::JavaClass | K::JavaName | K::PhpSetting => found.end() + name,
            _ => found.end(),
        };
        Some(Mark { kind: *kind, start: found.start(), end })
    })
}

/// Every mark.
#[cfg(test)]
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    MARKS.iter().map(|(word, _)| *word)
}
