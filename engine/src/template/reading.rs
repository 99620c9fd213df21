//! An expression of a template as tokens, and what of it an honest placeholder does not have. One pass, nothing kept.

/// What an expression has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expression<'a> {
    pub numbers: usize,
    pub strings: usize,
    pub names: usize,
    /// Names behind a dot or a `|`.
    pub members: usize,
    /// `*`, `%`, `+`, `~`, `**` between two constants.
    pub computed: usize,
    /// `-` or `/` between two constants: dates and ratios have these as well.
    pub weakly_computed: usize,
    /// Something that is neither a constant, nor arithmetic, nor a parenthesis.
    pub other: bool,
    /// Two strings side by side, or joined by an operator.
    pub built: usize,
    /// `''.x`, `[].x`, `().x`, `{}|x`
    pub literal_member: bool,
    /// Letters inside of strings are written as escapes.
    pub escaped: bool,
    /// Names that only the inside of a language or an engine has.
    pub internal: usize,
    /// A function or class that runs or reads something is used.
    pub danger: bool,
    /// A filter or function that calls what a string names gets the name of one that runs something.
    pub callback: bool,
    /// `|attr(`
    pub attribute_filter: bool,
    pub constructors: usize,
    /// `.items(`, `.update(`, `.getConfig(` of an object that the engine offers.
    pub listed: bool,
    pub first: &'a [u8],
    pub second: &'a [u8],
    pub server: bool,
    pub backtick: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Number,
    Text,
    Name,
    /// `)`, `]` or `}`; of empty ones it is remembered.
    Closed {
        empty: bool,
    },
    Opened,
    Dot,
    Pipe,
    Operator,
    Other,
}

pub(super) fn read(inner: &[u8]) -> Expression<'_> {
    let inner = inner.trim_ascii();
    let mut expression = Expression::default();
    let mut rest = strip(inner);
    let mut last = Last::Nothing;
    // What stands before the operator that was last.
    let mut left = Last::Nothing;
    let mut operator = 0;
    while let Some((byte, after)) = rest.split_first() {
        let (token, next) = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | 0 => {
                rest = after;
                continue;
            }
            b'\'' | b'"' => {
                let length = string(after, *byte);
                let text = after.get(..length).unwrap_or_default();
                expression.see_string(text, last);
                (Last::Text, after.get(length + 1..).unwrap_or_default())
            }
            b'0'..=b'9' => {
                let length =
                    rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'.').count();
                expression.numbers += 1;
                (Last::Number, rest.get(length..).unwrap_or_default())
            }
            byte if is_word(*byte) => {
                let length = rest.iter().take_while(|byte| is_word(**byte)).count();
                let (word, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                expression.see_name(word, last, after);
                (Last::Name, after)
            }
            b'*' | b'%' | b'+' | b'~' | b'-' | b'/' | b'^' => {
                if matches!(last, Last::Operator) && operator == *byte {
                    (Last::Operator, after)
                } else {
                    left = last;
                    operator = *byte;
                    (Last::Operator, after)
                }
            }
            b'(' | b'[' | b'{' | b',' => (Last::Opened, after),
            b')' | b']' | b'}' => (Last::Closed { empty: last == Last::Opened }, after),
            b'.' => (Last::Dot, after),
            b'|' => (Last::Pipe, after),
            b'`' => {
                expression.backtick = true;
                (Last::Other, after)
            }
            _ => (Last::Other, after),
        };
        if matches!(token, Last::Number | Last::Text) && last == Last::Operator {
            let constant = matches!(left, Last::Number | Last::Text) || matches!(left, Last::Closed { .. });
            if constant && matches!(operator, b'-' | b'/') {
                expression.weakly_computed += 1;
            } else if constant {
                expression.computed += 1;
                expression.built += usize::from(token == Last::Text && left == Last::Text);
            }
        }
        // `'a'|upper` is an ordinary filter.
        let is_member = token == Last::Dot && last == Last::Text
            || matches!(token, Last::Dot | Last::Pipe)
                && last == (Last::Closed { empty: true })
                && !after.starts_with(b"|");
        // `()` of a call is no literal.
        expression.literal_member |= is_member && (expression.names == 0 || last == Last::Text);
        expression.other |= matches!(token, Last::Name | Last::Dot | Last::Pipe | Last::Other);
        last = token;
        rest = next;
    }
    expression
}

/// `{=`, `{{-`, `{{{`, `${{`, `<%=`: more of the delimiter.
fn strip(inner: &[u8]) -> &[u8] {
    let mut inner = inner;
    for _ in 0..4 {
        inner = match inner {
            [b'{', rest @ .., b'}'] | [b'=' | b'-' | b'!' | b'$' | b'#', rest @ ..] => rest,
            _ => break,
        }
        .trim_ascii();
    }
    inner
}

/// Length of a string up to its closing quote.
fn string(bytes: &[u8], quote: u8) -> usize {
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            byte if *byte == quote => return at,
            _ => {}
        }
    }
    bytes.len()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl<'a> Expression<'a> {
    fn see_string(&mut self, text: &[u8], last: Last) {
        self.strings += 1;
        self.built += usize::from(last == Last::Text);
        self.escaped |=
            memchr::memmem::find(text, b"\\x").is_some() || memchr::memmem::find(text, b"\\u00").is_some();
        self.internal += usize::from(is_internal(text));
        self.callback |= is_danger(text);
        self.danger |= text.starts_with(b"java.lang.") || text.starts_with(b"javax.script.");
    }

    fn see_name(&mut self, word: &'a [u8], last: Last, after: &[u8]) {
        self.names += 1;
        let is_member = matches!(last, Last::Dot | Last::Pipe);
        self.members += usize::from(is_member);
        if self.names == 1 {
            self.first = word;
        } else if self.names == 2 {
            self.second = word;
        }
        let after = after.trim_ascii_start();
        let is_called = after.starts_with(b"(");
        self.internal += usize::from(is_internal(word));
        self.internal += usize::from(
            is_member && matches!(word, b"mro" | b"subclasses" | b"func_globals" | b"application"),
        );
        // `''.class`
        self.internal += usize::from(last == Last::Dot && word == b"class" && self.literal_member);
        self.constructors += usize::from(word == b"constructor");
        let is_object =
            matches!(word, b"subprocess" | b"child_process" | b"File" | b"IO" | b"Kernel" | b"Dir" | b"os");
        self.danger |=
            is_danger(word) && (is_called && !(is_member && is_method(word)) || last == Last::Pipe);
        self.danger |= is_object
            && !is_member
            && after.starts_with(b".")
            && after.get(1).is_some_and(|byte| is_word(*byte));
        self.attribute_filter |= last == Last::Pipe && word == b"attr" && is_called;
        self.server |= matches!(word, b"server" | b"filter" | b"all") && is_member;
        self.listed |= is_member
            && is_called
            && matches!(
                word,
                b"items" | b"iteritems" | b"update" | b"from_object" | b"from_pyfile" | b"values"
            );
        self.literal_member &= !(is_member && self.names > 2);
    }

    /// Nothing but constants and operators.
    pub(super) fn is_constant(&self) -> bool {
        !self.other && self.names == 0
    }

    /// A filter that calls what it is told.
    pub(super) fn calls_back(&self, inner: &[u8]) -> bool {
        const FILTERS: &[&[u8]] = &[b"map(", b"filter(", b"sort(", b"reduce(", b"find("];
        self.callback && FILTERS.iter().any(|name| memchr::memmem::find(inner, name).is_some())
    }
}

/// Names that nobody gives to a placeholder.
fn is_internal(word: &[u8]) -> bool {
    const DUNDER: &[&[u8]] = &[
        b"class",
        b"mro",
        b"base",
        b"bases",
        b"subclasses",
        b"globals",
        b"builtins",
        b"init",
        b"import",
        b"getattribute",
        b"getitem",
        b"dict",
        b"code",
        b"func",
        b"self",
        b"reduce",
        b"subclasshook",
        b"loader",
        b"proto",
        b"defineGetter",
        b"lookupGetter",
        b"call",
        b"module",
        b"new",
    ];
    if let Some(name) = word.strip_prefix(b"__").and_then(|word| word.strip_suffix(b"__")) {
        return DUNDER.contains(&name);
    }
    matches!(
        word,
        b"_TemplateReference__context"
            | b"_TemplateReference"
            | b"_NSAttr__parent"
            | b"_mmarker"
            | b"_with_template"
            | b"_self"
            | b"lipsum"
            | b"cycler"
            | b"joiner"
            | b"func_globals"
            | b"gi_frame"
            | b"f_globals"
            | b"linecache"
            | b"mainModule"
            | b"registerUndefinedFilterCallback"
            | b"registerUndefinedFunctionCallback"
            | b"Smarty_Internal_Write_File"
            | b"get_flashed_messages"
            | b"getProtectionDomain"
            | b"protectionDomain"
            | b"getClassLoader"
            | b"newInstance"
            | b"forName"
            | b"getRuntime"
            | b"ProcessBuilder"
            | b"ScriptEngineManager"
    )
}

/// What runs programs or code, or reads files. Sorted by nothing: each is compared.
fn is_danger(word: &[u8]) -> bool {
    matches!(
        word,
        b"system"
            | b"exec"
            | b"eval"
            | b"popen"
            | b"passthru"
            | b"shell_exec"
            | b"proc_open"
            | b"phpinfo"
            | b"assert"
            | b"file_get_contents"
            | b"file_excerpt"
            | b"__import__"
            | b"import_module"
            | b"require"
            | b"_load"
            | b"execSync"
            | b"spawnSync"
            | b"readFileSync"
            | b"check_output"
            | b"getenv"
            | b"Process"
            | b"getClass"
            | b"constant"
            | b"call_user_func"
            | b"create_function"
            | b"fetch_file"
    )
}

/// Methods of ordinary objects have these names as well.
fn is_method(word: &[u8]) -> bool {
    matches!(
        word,
        b"exec" | b"eval" | b"assert" | b"require" | b"getenv" | b"constant" | b"getClass" | b"Process"
    )
}

/// For samples.
pub(super) fn is_known(word: &[u8]) -> bool {
    is_internal(word)
        || is_danger(word)
        || matches!(word, b"request" | b"config" | b"self" | b"attr" | b"constructor")
}
