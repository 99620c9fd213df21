//! How sure a command is, from what it is, how it is opened and what stands around it.

use super::Asked;
use super::arguments::Ending;
use super::reading::{Command, Name, Opener, is_whole};
use super::words::Use;
use crate::detector::Rule;
use crate::finding::{Confidence, RuleId};
use crate::surroundings::Around;

const fn rule(id: &'static str, reason: &'static str) -> Rule {
    Rule { id: RuleId(id), reason }
}

pub(super) static SEPARATOR: Rule =
    rule("cmd-separator", "the value ends a command of the application and begins another one");
pub(super) static SUBSTITUTION: Rule =
    rule("cmd-substitution", "the value makes a shell run a command and use what it prints");
pub(super) static EVASION: Rule =
    rule("cmd-evasion", "the value has a command that is written so that it does not look like one");
pub(super) static COMMAND: Rule = rule("cmd-command", "the value is a command with arguments");
pub(super) static BATCH: Rule = rule("cmd-batch", "the value is a loop or a condition of a Windows batch");
pub(super) static POWERSHELL: Rule =
    rule("cmd-powershell", "the value makes PowerShell run what it gets or computes");
pub(super) static SHELLSHOCK: Rule =
    rule("cmd-shellshock", "the value is a function for the environment with commands behind it");
pub(super) static MASKED: Rule =
    rule("cmd-masked-path", "the value is the path of a system file with wildcards in place of letters");
pub(super) static EXPANSION: Rule =
    rule("cmd-expansion", "the value cuts characters out of variables of a shell");

/// Every rule.
pub(super) static RULES: [&Rule; 9] =
    [&SEPARATOR, &SUBSTITUTION, &EVASION, &COMMAND, &BATCH, &POWERSHELL, &SHELLSHOCK, &MASKED, &EXPANSION];

/// What stands around a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub asked: Asked,
    pub before: Around,
    /// What is behind a substitution.
    pub behind: Around,
    /// The byte before the opener, where there is one.
    pub last: Option<u8>,
    /// The byte behind a substitution.
    pub next: Option<u8>,
    /// The first line is one word that is no command, and the opener ends it or comes later.
    pub broken_line: bool,
    /// Lines of the whole value.
    pub lines: usize,
    /// The value begins with a command: it is a script or a line of one, and not put behind anything.
    pub script: bool,
    /// A backtick stands where an expression goes on, as in `f(`x`)` and `a.`x``, and not where Markdown has it.
    pub woven: bool,
    /// A parenthesis opens before the command and closes behind it.
    pub enclosed: bool,
    /// The command ends with the value.
    pub ends: bool,
    /// `||` or `&&` follows.
    pub chained: bool,
    /// A word and a blank stand on either side of a substitution.
    pub said: bool,
    /// A separator ends the command, and no word follows.
    pub cut: bool,
    /// The separator that ends the command and the value.
    pub terminator: Option<u8>,
    /// The byte that opens.
    pub opens: u8,
    /// What stands before has more in it than a name.
    pub odd: bool,
}

impl Place {
    /// Whether the value is that of a parameter.
    fn is_asked(&self) -> bool {
        self.asked != Asked::Nothing
    }
}

/// How much it looks like a command that was meant to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    Nothing,
    /// A name.
    Weak,
    /// A name as a command has it.
    Likely,
    /// With arguments that only a command has.
    Complete,
}

pub(super) fn judge(command: &Command, place: &Place) -> Option<(&'static Rule, Confidence)> {
    let strength = strength(command);
    let confidence = match command.opener {
        Opener::Operator => operator(command, place, strength),
        Opener::Newline => newline(command, place, strength),
        Opener::Backtick => backtick(command, place, strength),
        Opener::Dollar | Opener::Process => dollar(command, place, strength),
        Opener::Start => start(command, place, strength),
    }?;
    let rule = match (command.name, command.opener) {
        (Name::Batch, _) => &BATCH,
        (Name::PowerShell, _) => &POWERSHELL,
        _ if command.evaded => &EVASION,
        (_, Opener::Start) => &COMMAND,
        (_, Opener::Operator | Opener::Newline) => &SEPARATOR,
        _ => &SUBSTITUTION,
    };
    Some((rule, confidence))
}

#[expect(clippy::match_same_arms, reason = "the rows of a table, read from above")]
pub(super) fn strength(command: &Command) -> Strength {
    use Strength as S;
    let arguments = &command.arguments;
    let strong = arguments.are_strong();
    let whole = is_whole(arguments.ending);
    let none = arguments.count() == 0;
    let few = arguments.words <= 2;
    if arguments.sensitive && arguments.words <= 3 || command.runs {
        return S::Complete;
    }
    // `<(cat file)`: no sentence has that.
    if command.opener == Opener::Process && few && arguments.ending == Ending::Closed {
        return S::Likely;
    }
    let plain = match command.name {
        Name::Batch | Name::PowerShell | Name::Glued => S::Complete,
        Name::Executable if strong || (whole && few) => S::Complete,
        Name::Executable => S::Weak,
        Name::Known(Use::Probe) if strong || (none && whole) => S::Complete,
        Name::Known(Use::Probe) if few && whole => S::Likely,
        Name::Known(Use::Tool) if strong || (whole && few && arguments.texts > 0) => S::Complete,
        // `sleep 8`, but not `sleep 8 hours`
        Name::Known(Use::Tool) if whole && arguments.numbers > 0 && arguments.words == 0 => S::Complete,
        Name::Known(Use::Tool) if !none && few && whole => S::Likely,
        Name::Known(Use::Brief) if strong => S::Complete,
        Name::Known(Use::Brief) if whole && (none || (few && arguments.numbers + arguments.texts > 0)) => {
            S::Likely
        }
        Name::Known(Use::Name) if arguments.flags > 0 && arguments.texts + arguments.shell > 0 => S::Complete,
        Name::Known(Use::Name) if arguments.switches > 0 && whole => S::Complete,
        Name::Known(Use::Name) if strong => S::Likely,
        Name::Known(Use::English)
            if whole && arguments.words <= 1 && arguments.paths + arguments.urls > 0 =>
        {
            S::Complete
        }
        Name::Known(Use::English) if whole && few && arguments.switches > 0 => S::Complete,
        Name::Known(Use::English) if whole && few && (strong || arguments.texts > 0) => S::Likely,
        Name::Known(_) if arguments.evaded && arguments.paths > 0 && few => S::Complete,
        Name::Known(Use::English) if arguments.words > 0 => S::Nothing,
        Name::Known(Use::Telling)
            if whole && few && arguments.flags + arguments.paths + arguments.shell > 0 =>
        {
            S::Complete
        }
        Name::Known(Use::Telling) if whole && none => S::Likely,
        Name::Known(Use::Telling) if arguments.words > 0 => S::Nothing,
        Name::Known(_) => S::Weak,
    };
    if command.evaded && few && (whole || strong) {
        return S::Complete;
    }
    let is_word = matches!(command.name, Name::Known(Use::Telling | Use::English));
    if command.wrapped && plain == S::Likely && whole && !is_word { S::Complete } else { plain }
}

#[expect(clippy::match_same_arms, reason = "the rows of a table, read from above")]
fn operator(command: &Command, place: &Place, strength: Strength) -> Option<Confidence> {
    let none = command.arguments.count() == 0;
    let broken_out = match place.before {
        Around::Nothing => true,
        Around::Word => place.last.is_some_and(|byte| !byte.is_ascii_alphabetic() && byte != b'_'),
        _ => false,
    };
    Some(match (strength, place.before) {
        (Strength::Complete, Around::Nothing | Around::Word) => Confidence::Certain,
        // `(root) CMD (cd / && run-parts /etc/cron.daily)`: a log tells what ran.
        (Strength::Complete, Around::Words) if place.enclosed => Confidence::Medium,
        (Strength::Complete, Around::Words)
            if !place.script || command.arguments.sensitive || place.asked == Asked::Command =>
        {
            Confidence::High
        }
        (Strength::Complete, Around::Prose)
            if command.arguments.sensitive && place.lines < 2 && place.ends =>
        {
            Confidence::High
        }
        (Strength::Complete, _) => Confidence::Medium,
        // `printf x | rev | sh`: whatever stands before is run.
        (Strength::Likely, Around::Words | Around::Prose)
            if place.opens == b'|'
                && command.shell
                && none
                && place.ends
                && place.script
                && place.is_asked() =>
        {
            Confidence::High
        }
        (Strength::Likely, Around::Words) if place.asked == Asked::Command && is_tool(command) => {
            Confidence::High
        }
        // `code=time; ansible-doc a`
        (Strength::Likely, Around::Word)
            if place.asked == Asked::Command && !none && place.lines < 2 && !is_english(command) =>
        {
            Confidence::High
        }
        // No client begins what it says of itself with a separator.
        (Strength::Weak, Around::Nothing)
            if place.asked == Asked::Client && none && is_whole(command.arguments.ending) =>
        {
            Confidence::High
        }
        // `;htop`, and nothing else
        (Strength::Weak, Around::Nothing)
            if none
                && is_whole(command.arguments.ending)
                && place.lines < 2
                && place.is_asked()
                && !command.short
                && matches!(command.name, Name::Known(Use::Tool | Use::Name | Use::Brief | Use::Probe)) =>
        {
            Confidence::High
        }
        // `|grep x` is how people tell each other what they look for.
        (Strength::Likely, _) if command.filters && place.opens == b'|' => Confidence::Medium,
        (Strength::Likely, _) if broken_out => Confidence::High,
        // `a;id|` and `/index.html|id|`, but not the list `name;id;`.
        (Strength::Likely, Around::Word)
            if place.terminator.is_some_and(|byte| place.odd || byte != place.opens) =>
        {
            Confidence::High
        }
        // The list `name;id`, and the sentence that goes on with a word.
        (Strength::Likely, _) if matches!(command.name, Name::Known(Use::Telling | Use::English)) => {
            Confidence::Low
        }
        (Strength::Likely, Around::Nothing | Around::Word | Around::Words) => Confidence::Medium,
        (Strength::Weak, Around::Nothing) => Confidence::Medium,
        (Strength::Likely | Strength::Weak, _) => Confidence::Low,
        (Strength::Nothing, _) => return None,
    })
}

#[expect(clippy::match_same_arms, reason = "the rows of a table, read from above")]
fn newline(command: &Command, place: &Place, strength: Strength) -> Option<Confidence> {
    Some(match (strength, place.before) {
        (Strength::Complete, Around::Nothing) if place.lines < 4 => Confidence::High,
        (Strength::Complete, Around::Word | Around::Words) if place.broken_line => Confidence::High,
        (Strength::Complete, Around::Words) if command.arguments.sensitive && place.lines < 3 => {
            Confidence::High
        }
        (Strength::Complete, _) => Confidence::Medium,
        (Strength::Likely, Around::Nothing) if place.lines < 3 => Confidence::High,
        (Strength::Likely, Around::Nothing | Around::Word) => Confidence::Medium,
        (Strength::Likely, _) => Confidence::Low,
        _ => return None,
    })
}

#[expect(clippy::match_same_arms, reason = "the rows of a table, read from above")]
fn backtick(command: &Command, place: &Place, strength: Strength) -> Option<Confidence> {
    // `the `date` field`: one word in a sentence, as Markdown sets it.
    let is_said = place.said && command.arguments.count() == 0 && place.asked != Asked::Command;
    Some(match (strength, place.before.max(place.behind)) {
        (Strength::Complete | Strength::Likely, Around::Nothing | Around::Word) if is_said => {
            Confidence::Medium
        }
        (Strength::Complete, Around::Nothing | Around::Word) => Confidence::Certain,
        (Strength::Likely, Around::Nothing | Around::Word) => Confidence::High,
        (Strength::Complete, Around::Words) if place.woven && place.lines < 4 => Confidence::High,
        (Strength::Likely, Around::Words) if place.woven && place.lines < 4 && is_tool(command) => {
            Confidence::High
        }
        (Strength::Complete, Around::Words | Around::Prose) => Confidence::Medium,
        (Strength::Weak, Around::Nothing) => Confidence::Medium,
        (Strength::Complete | Strength::Likely, _) => Confidence::Low,
        _ => return None,
    })
}

fn dollar(command: &Command, place: &Place, strength: Strength) -> Option<Confidence> {
    // `$(id).hide()` is a program of a browser, `$(CC)` one of make.
    let is_word = !matches!(command.name, Name::Known(Use::Probe | Use::Tool) | Name::Executable);
    if matches!(place.next, Some(b'.' | b'[')) && command.arguments.count() == 0 && is_word && !place.woven {
        return None;
    }
    Some(match (strength, place.before) {
        (Strength::Complete, Around::Nothing | Around::Word) if place.lines < 4 || place.broken_line => {
            Confidence::Certain
        }
        (Strength::Complete, Around::Words) if place.lines < 4 || place.broken_line => Confidence::High,
        (Strength::Likely, Around::Nothing | Around::Word) if place.lines < 4 || place.broken_line => {
            Confidence::High
        }
        (Strength::Likely, Around::Words) if (place.lines < 2 || place.broken_line) && is_tool(command) => {
            Confidence::High
        }
        (Strength::Complete | Strength::Likely, _) => Confidence::Medium,
        (Strength::Weak, _) => Confidence::Low,
        (Strength::Nothing, _) => return None,
    })
}

/// Whether its name is a word of a language or the name of a field.
fn is_english(command: &Command) -> bool {
    matches!(command.name, Name::Known(Use::English | Use::Telling))
}

/// Whether its name is no word of a language.
fn is_tool(command: &Command) -> bool {
    matches!(command.name, Name::Known(Use::Tool | Use::Probe) | Name::Executable)
}

fn start(command: &Command, place: &Place, strength: Strength) -> Option<Confidence> {
    let arguments = &command.arguments;
    let telling = arguments.paths + arguments.urls > 0
        || (arguments.numbers > 0 && arguments.flags > 0)
        || arguments.sensitive
        || arguments.evaded;
    // `curl -f http://x || exit 1` is how the health of a container is told.
    let complete = strength == Strength::Complete && place.lines < 3 && !place.chained;
    let line = place.is_asked() && place.lines < 2;
    // `{png,jpg}` is a list of words.
    if matches!(command.name, Name::Glued | Name::Known(Use::Telling | Use::English | Use::Name))
        && place.opens == b'{'
        && arguments.flags + arguments.paths + arguments.urls + arguments.shell == 0
    {
        return None;
    }
    Some(match command.name {
        // `sh -c whoami`, `nohup ifconfig`, `c{a,oun}t`
        _ if complete && line && (command.runs || command.braced || command.driven && is_tool(command)) => {
            Confidence::High
        }
        _ if complete && line && command.evaded && is_tool(command) => Confidence::High,
        Name::Known(Use::Tool | Use::Probe | Use::Brief)
            if place.asked == Asked::Command && line && strength >= Strength::Likely =>
        {
            Confidence::High
        }
        Name::Known(Use::Name | Use::English) if place.asked == Asked::Command && line && complete => {
            Confidence::High
        }
        Name::Known(Use::Name)
            if place.asked == Asked::Command
                && line
                && strength == Strength::Likely
                && arguments.flags > 0 =>
        {
            Confidence::High
        }
        Name::Executable if place.asked == Asked::Command && line && arguments.count() == 0 => {
            Confidence::High
        }
        Name::Batch | Name::PowerShell if complete => Confidence::High,
        _ if command.evaded && complete && arguments.count() > 0 => Confidence::High,
        Name::Executable if complete && (arguments.count() > 0 || place.terminator.is_some()) => {
            Confidence::High
        }
        Name::Executable if arguments.count() == 0 => Confidence::Low,
        Name::Known(Use::Tool | Use::Brief | Use::Probe) if complete && telling => Confidence::High,
        Name::Known(Use::Probe) if complete && arguments.flags > 0 && arguments.words == 0 => {
            Confidence::High
        }
        Name::Known(_) if complete && arguments.sensitive => Confidence::High,
        // `whoami;0'0'"`
        Name::Known(Use::Probe) if complete && line && place.cut && arguments.count() == 0 => {
            Confidence::High
        }
        _ if strength == Strength::Complete => Confidence::Medium,
        Name::Known(Use::Probe) => Confidence::Medium,
        _ if strength == Strength::Likely => Confidence::Low,
        _ => return None,
    })
}
