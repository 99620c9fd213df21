//! The rules: which evidence is an attack, and how sure that is. One table; ids are frozen. Of several rules that
//! apply, the surest one counts, then the first.

use super::evidence::{Context, Ending, Evidence, Facts, Opener, Operand, Prefix, Remark};
use super::form::Form;
use crate::detector;
use crate::finding::{Confidence, RuleId};

/// One rule.
pub(super) struct Rule {
    pub id: RuleId,
    /// What it saw, in a sentence.
    pub reason: &'static str,
    weigh: fn(&Evidence) -> Option<Confidence>,
}

impl Rule {
    pub(super) fn listed(&self) -> detector::Rule {
        detector::Rule { id: self.id, reason: self.reason }
    }
}

use Confidence::{Certain, High, Low, Medium};

/// All rules, the most specific first.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: RuleId("sqli-system"),
        reason: "the value makes the database reach a file, a program or the network",
        weigh: |e| e.any(Facts::SYSTEM.or(Facts::OUTFILE)).then(|| e.hard_grade()),
    },
    Rule {
        id: RuleId("sqli-union"),
        reason: "the value adds the result of another select to the result of the statement",
        weigh: union,
    },
    Rule {
        id: RuleId("sqli-time"),
        reason: "the value makes the database wait, so that the time of the answer tells something",
        weigh: time,
    },
    Rule {
        id: RuleId("sqli-stacked"),
        reason: "the value ends the statement and begins another one",
        weigh: stacked,
    },
    Rule {
        id: RuleId("sqli-error"),
        reason: "the value makes the database put data into an error message",
        weigh: |e| e.any(Facts::ERROR.or(Facts::PROCEDURE)).then(|| e.hard_grade()),
    },
    Rule {
        id: RuleId("sqli-subselect"),
        reason: "the value puts a select of its own into an expression of the statement",
        weigh: subselect,
    },
    Rule {
        id: RuleId("sqli-catalog"),
        reason: "the value reads what tables and columns the database has",
        weigh: |e| {
            let reads = e.any(Facts::CATALOG) && e.any(Facts::STATEMENT);
            // A script of statements closes nothing.
            reads.then_some(if e.any(Facts::STACKED) { Medium } else { High })
        },
    },
    Rule {
        id: RuleId("sqli-tautology"),
        reason: "the value adds a condition whose result is known in advance",
        weigh: tautology,
    },
    Rule {
        id: RuleId("sqli-function"),
        reason: "the value calls a function of the database inside the statement",
        weigh: function,
    },
    Rule {
        id: RuleId("sqli-condition"),
        reason: "the value adds a condition to the statement",
        weigh: condition,
    },
    Rule {
        id: RuleId("sqli-constant"),
        reason: "the value adds a constant as a condition to the statement",
        weigh: constant,
    },
    Rule { id: RuleId("sqli-clause"), reason: "the value adds a clause to the statement", weigh: clause },
    Rule {
        id: RuleId("sqli-list"),
        reason: "the value ends a list of values early and comments out the rest of the statement",
        weigh: list,
    },
    Rule {
        id: RuleId("sqli-concat"),
        reason: "the value closes a quote and concatenates something to the text",
        weigh: concat,
    },
    Rule {
        id: RuleId("sqli-operator"),
        reason: "the value closes a quote and goes on with an operator",
        weigh: operator,
    },
    Rule {
        id: RuleId("sqli-comment"),
        reason: "the value closes a quote and comments out the rest of the statement",
        weigh: comment,
    },
    Rule { id: RuleId("sqli-statement"), reason: "the value is an SQL statement", weigh: statement },
    Rule {
        id: RuleId("sqli-rest"),
        reason: "the value is an expression and comments out the rest of the statement",
        weigh: rest,
    },
    MASKED,
    PIECE,
    NAMES,
    JSON,
];

/// The rule of a form, which no reading is needed for.
pub(super) fn of_form(form: Form, length: usize) -> (&'static Rule, Confidence, Evidence) {
    match form {
        Form::Piece => (&PIECE, High, Evidence::of_form(0, length)),
        Form::Masked => (&MASKED, High, Evidence::of_form(0, length)),
        Form::Catalog => (&NAMES, High, Evidence::of_form(0, length)),
        Form::Json(start, end) => (&JSON, High, Evidence::of_form(start, end)),
    }
}

const MASKED: Rule = Rule {
    id: RuleId("sqli-masked"),
    reason: "the value has comments between words of SQL where blanks would do",
    weigh: masked,
};
const PIECE: Rule = Rule {
    id: RuleId("sqli-piece"),
    reason: "the value is what only the middle of a statement has",
    weigh: |_| None,
};
const NAMES: Rule = Rule {
    id: RuleId("sqli-names"),
    reason: "the value takes the rows of a table from the catalog of the database",
    weigh: |_| None,
};
const JSON: Rule = Rule {
    id: RuleId("sqli-json"),
    reason: "the value compares a document with an operator that databases have for JSON",
    weigh: |_| None,
};

/// The surest rule that applies.
pub(super) fn judge(evidence: &Evidence) -> Option<(&'static Rule, Confidence)> {
    let mut best: Option<(&Rule, Confidence)> = None;
    for rule in RULES {
        if let Some(confidence) = (rule.weigh)(evidence)
            && best.is_none_or(|(_, known)| confidence > known)
        {
            best = Some((rule, confidence));
        }
    }
    best
}

impl Evidence {
    fn any(&self, facts: Facts) -> bool {
        self.facts.any(facts)
    }

    fn quoted(&self) -> bool {
        matches!(self.context, Context::Quoted(_))
    }

    /// The statement is well-formed after the value, as far as can be told.
    fn closed(&self) -> bool {
        match self.ending {
            Ending::Comment(_) => true,
            Ending::OpenText => self.quoted(),
            Ending::Complete => !self.quoted(),
            Ending::Incomplete | Ending::Broken { .. } => false,
        }
    }

    /// The value ends in a comment that an attacker would write, or stands behind a datum as only an attack does.
    fn commented(&self) -> bool {
        match self.ending {
            Ending::Comment(Remark::Tidy) => true,
            // "the dogs' -- all of them"
            Ending::Comment(Remark::Words) => self.prefix != Prefix::Words,
            Ending::Comment(Remark::Untidy) => self.prefix == Prefix::Word,
            _ => false,
        }
    }

    fn broken(&self) -> bool {
        matches!(self.ending, Ending::Broken { .. } | Ending::Incomplete)
    }

    fn broken_off(&self) -> bool {
        matches!(self.ending, Ending::Broken { commented: false } | Ending::Incomplete)
    }

    /// What stands before the quote is nothing or one word, as applications store it.
    fn in_word(&self) -> bool {
        matches!(self.prefix, Prefix::Empty | Prefix::Word)
    }

    /// All but a few bytes was read: the rest is what a list of payloads or a text program made of a dash.
    fn nearly_read(&self) -> bool {
        self.left <= 4
    }

    /// A bare value that nothing but an operand was read of.
    fn alone(&self) -> bool {
        self.context == Context::Bare && self.opener == Opener::Nothing
    }

    /// For facts that ordinary input practically never has.
    fn hard_grade(&self) -> Confidence {
        match () {
            () if self.alone() && self.broken() => Medium,
            () if self.alone() || self.context == Context::Statement => High,
            () if self.closed() => Certain,
            () => High,
        }
    }

    /// For structure that prose or code before the quote makes less sure.
    fn in_datum(&self, confidence: Confidence) -> Confidence {
        match confidence {
            _ if self.prefix != Prefix::Prose => confidence,
            Certain => High,
            High => Medium,
            Medium | Low => Low,
        }
    }
}

fn union(e: &Evidence) -> Option<Confidence> {
    let after_name = e.context == Context::Bare && e.operand == Operand::Name;
    match () {
        () if !e.any(Facts::UNION) => None,
        () if e.context == Context::Statement && !e.commented() => Some(Medium),
        () if e.any(Facts::UNION_LONG) && e.closed() => Some(Certain),
        () if e.any(Facts::UNION_LONG) => Some(High),
        // `1 union select`, wherever it breaks off
        () if e.context == Context::Bare
            && matches!(e.operand, Operand::Constant | Operand::Compound)
            && e.opener == Opener::SetOperator
            && e.parameter =>
        {
            Some(High)
        }
        // `union select`, and nothing else but what the statement around it goes on with; `2020-03-01 union select`
        () if e.context == Context::Bare
            && e.parameter
            && (e.ending == Ending::Incomplete
                || e.any(Facts::CUT)
                || matches!(e.operand, Operand::Constant | Operand::Compound) && !e.broken())
            && (e.opener == Opener::SetOperator && e.operand == Operand::Absent
                || matches!(e.operand, Operand::Constant | Operand::Compound)) =>
        {
            Some(High)
        }
        () if after_name && e.any(Facts::UNION_STRONG) => Some(Medium),
        () if after_name => Some(Low),
        () if e.any(Facts::UNION_STRONG) || (e.quoted() && e.commented()) => Some(High),
        // The rest of the statement around the value is the rest of this select.
        () if e.quoted() && e.ending == Ending::Incomplete => Some(e.in_datum(High)),
        () => Some(Medium),
    }
}

fn stacked(e: &Evidence) -> Option<Confidence> {
    match () {
        // A script of statements closes nothing.
        () if e.context == Context::Statement && e.any(Facts::STACKED) => Some(Medium),
        () if e.any(Facts::STACKED) && e.closed() => Some(Certain),
        () if e.any(Facts::STACKED) => Some(High),
        // Statements that are not known by name, between a closed quote and a comment.
        () if e.opener == Opener::Statement
            && e.quoted()
            && e.ending == (Ending::Broken { commented: true })
            && matches!(e.prefix, Prefix::Empty | Prefix::Word) =>
        {
            Some(High)
        }
        () if e.any(Facts::STACKED_WEAK) && e.quoted() && e.commented() => Some(High),
        // `';select p`
        () if e.any(Facts::STACKED_WEAK)
            && e.quoted()
            && e.parameter
            && e.prefix == Prefix::Empty
            && e.opener == Opener::Statement
            && !e.broken() =>
        {
            Some(High)
        }
        () if e.any(Facts::STACKED_WEAK) && e.quoted() => Some(Medium),
        () if e.any(Facts::STACKED_WEAK) => Some(Low),
        () => None,
    }
}

fn time(e: &Evidence) -> Option<Confidence> {
    if e.any(Facts::TIME) {
        return Some(e.hard_grade());
    }
    let among =
        Facts::TEXT_FUNCTION.or(Facts::SUBSELECT).or(Facts::CASE).or(Facts::CONSTANTS).or(Facts::TAUTOLOGY);
    match () {
        () if !e.any(Facts::SLEEP) => None,
        () if e.alone() && e.broken() => Some(Low),
        () if e.alone()
            && e.any(Facts::PAUSE)
            && e.parameter
            && e.ending == Ending::Complete
            && e.end < 24 =>
        {
            Some(High)
        }
        () if e.alone() && !e.any(among) => Some(Medium),
        () => Some(e.hard_grade()),
    }
}

fn subselect(e: &Evidence) -> Option<Confidence> {
    match () {
        () if !e.any(Facts::SUBSELECT) || e.context == Context::Statement => None,
        // A remark in parentheses after a word reads as a function call.
        () if e.alone() && e.any(Facts::CATALOG) => Some(High),
        // `(convert(int, (select char(1) ..`, however it goes on
        () if e.alone()
            && e.parameter
            && e.ending == Ending::Incomplete
            && (e.any(Facts::TEXT_FUNCTION) || e.hard > 3) =>
        {
            Some(High)
        }
        () if e.alone() && (e.broken() || e.any(Facts::OTHER_FUNCTION)) => Some(Medium),
        () if e.alone() => Some(High),
        () if e.closed() => Some(Certain),
        () if e.quoted() || !e.broken_off() => Some(High),
        () if e.operand == Operand::Constant && e.opener != Opener::Parenthesis => Some(High),
        () => Some(Medium),
    }
}

fn tautology(e: &Evidence) -> Option<Confidence> {
    // `(8=8)*99`
    let counted = e.any(Facts::CONSTANTS)
        && e.context == Context::Bare
        && e.operand == Operand::Compound
        && e.opener == Opener::Math
        && !e.broken()
        && e.parameter;
    if counted {
        return Some(High);
    }
    if !e.any(Facts::TAUTOLOGY) {
        return None;
    }
    Some(match e.context {
        Context::Quoted(_) if e.closed() => Certain,
        Context::Quoted(_) if !e.broken_off() || e.in_word() && e.nearly_read() && e.parameter => High,
        Context::Bare if e.commented() => Certain,
        Context::Bare if e.opener == Opener::Relation => Low,
        Context::Bare if e.opener == Opener::Boolean && e.operand != Operand::Name && e.nearly_read() => High,
        // `1 + 1 = 2 and 2 + 2 = 4` is mathematics.
        Context::Bare if e.broken_off() || e.any(Facts::COMPARISON) || e.alone() => Medium,
        Context::Bare => High,
        Context::Statement if e.any(Facts::STATEMENT) && !e.broken() => High,
        Context::Quoted(_) | Context::Statement => Medium,
    })
}

fn function(e: &Evidence) -> Option<Confidence> {
    let compares = e.any(Facts::CONDITION.or(Facts::COMPARISON).or(Facts::TAUTOLOGY));
    let tells = e.any(Facts::INFORMATION);
    // ` and 1=convert(int,(..`, `5 and substring(version(),1,1)=4false`
    let starts = e.operand != Operand::Name && e.opener == Opener::Boolean && e.any(Facts::COMPARING);
    let asks = tells && e.any(Facts::TEXT_FUNCTION) && e.parameter;
    let goes_on = matches!(
        e.opener,
        Opener::Boolean | Opener::Pipes | Opener::Math | Opener::Compare | Opener::Clause | Opener::Comma
    );
    let unknown = e.any(Facts::OTHER_FUNCTION) && e.opener == Opener::Boolean && e.quoted() && e.commented();
    match () {
        () if unknown => Some(e.in_datum(High)),
        // `substr(`, and nothing else: what follows is in the statement
        () if e.alone() && e.parameter && e.any(Facts::CUT) => Some(High),
        // `f(x)::int`
        () if e.alone() && e.parameter && e.any(Facts::HOSTILE) && e.ending == Ending::Complete => Some(High),
        // `, find_in_set('1', x)`
        () if e.context == Context::Bare
            && e.opener == Opener::Comma
            && e.operand == Operand::Absent
            && e.parameter
            && e.any(Facts::TEXT_FUNCTION.or(Facts::INFORMATION))
            && !e.broken() =>
        {
            Some(High)
        }
        () if !e.any(Facts::TEXT_FUNCTION.or(Facts::INFORMATION).or(Facts::CASE)) => None,
        () if e.context == Context::Statement => None,
        () if e.quoted() && (e.closed() || ((compares || tells) && !e.broken())) => Some(e.in_datum(High)),
        () if e.quoted() => Some(e.in_datum(Medium)),
        () if e.alone() && e.broken() => None,
        () if (e.alone()
            || e.opener == Opener::Clause
            || e.opener == Opener::Comma && e.operand == Operand::Constant)
            && e.any(Facts::CONSTANTS.or(Facts::TAUTOLOGY)) =>
        {
            Some(High)
        }
        // `mid(@@hostname, 1, 1)`, `x or concat(version(), ..`
        () if asks && (goes_on || e.alone() && e.ending == Ending::Complete) => Some(High),
        () if e.alone() && e.any(Facts::CASE) && e.parameter && e.ending == Ending::Complete => Some(High),
        () if e.operand == Operand::Constant && e.opener == Opener::Pipes && !e.broken() && e.parameter => {
            Some(High)
        }
        () if e.alone() && (tells || e.any(Facts::CASE)) => Some(Medium),
        () if starts && e.any(Facts::TEXT_FUNCTION) && (e.parameter || e.operand == Operand::Absent) => {
            Some(High)
        }
        () if e.alone() || e.broken() => Some(Low),
        () if e.operand != Operand::Name && e.opener == Opener::Boolean && (compares || tells) => Some(High),
        () if e.operand == Operand::Constant && tells => Some(High),
        () if e.opener == Opener::Boolean && compares && e.commented() => Some(High),
        () if e.opener == Opener::Boolean && compares => Some(Medium),
        () => Some(Low),
    }
}

fn condition(e: &Evidence) -> Option<Confidence> {
    let joined = matches!(e.opener, Opener::Boolean | Opener::Pipes | Opener::Clause);
    match () {
        // `' and id is null; --`
        () if e.quoted()
            && e.opener == Opener::Boolean
            && e.in_word()
            && !e.any(Facts::TRUTHY)
            && e.ending == Ending::Comment(Remark::Tidy) =>
        {
            Some(High)
        }
        // `' or user_id <> 2`
        () if e.quoted()
            && e.opener == Opener::Boolean
            && e.in_word()
            && e.any(Facts::COMPARING)
            && !e.broken()
            && e.parameter =>
        {
            Some(High)
        }
        () if !e.any(Facts::CONDITION.or(Facts::EXISTS)) => None,
        () if e.quoted() && e.closed() => Some(e.in_datum(High)),
        () if e.quoted() && !e.broken() => Some(e.in_datum(Medium)),
        () if e.quoted() => Some(Low),
        () if e.context == Context::Statement || e.broken() || !joined => None,
        () if e.commented() => Some(High),
        () if e.operand == Operand::Name => Some(Low),
        () => Some(Medium),
    }
}

fn constant(e: &Evidence) -> Option<Confidence> {
    match () {
        () if !e.any(Facts::TRUTHY) => None,
        () if e.quoted() && e.commented() => Some(e.in_datum(High)),
        () if e.quoted() && e.closed() && e.opener == Opener::Boolean => Some(match e.prefix {
            Prefix::Empty | Prefix::Word => High,
            Prefix::Words => Medium,
            Prefix::Prose => Low,
        }),
        () if e.quoted()
            && e.closed()
            && e.in_word()
            && matches!(e.opener, Opener::Math | Opener::Compare | Opener::Relation) =>
        {
            Some(High)
        }
        () if e.quoted() && e.closed() => Some(e.in_datum(Medium)),
        () if e.quoted() => Some(Low),
        () if e.commented() && e.operand != Operand::Name => Some(Medium),
        () => None,
    }
}

fn clause(e: &Evidence) -> Option<Confidence> {
    let known = e.any(Facts::ORDER_NUMBER.or(Facts::HAVING));
    match () {
        () if e.opener != Opener::Clause => None,
        () if e.quoted() && e.commented() => Some(e.in_datum(High)),
        () if e.quoted() && known && !e.broken() && e.in_word() => Some(High),
        () if e.quoted() && !e.broken() => Some(e.in_datum(Medium)),
        () if e.quoted() || e.broken() || !known => None,
        () if e.commented() => Some(High),
        // ` order by 12`
        () if e.operand != Operand::Name && e.any(Facts::ORDER_NUMBER) && e.parameter => Some(High),
        () if e.operand == Operand::Name => Some(Low),
        () => Some(Medium),
    }
}

fn list(e: &Evidence) -> Option<Confidence> {
    let applies = e.opener == Opener::Comma && e.quoted() && e.commented();
    applies.then(|| e.in_datum(High))
}

fn concat(e: &Evidence) -> Option<Confidence> {
    match () {
        () if !e.any(Facts::PIPES) || !e.quoted() || e.opener != Opener::Pipes => None,
        () if e.closed() => Some(e.in_datum(High)),
        () if !e.broken() => Some(e.in_datum(Medium)),
        () => Some(Low),
    }
}

fn operator(e: &Evidence) -> Option<Confidence> {
    // `'='`, `' * '`: all there is between two quotes is an operator.
    let single = e.context == Context::Quoted(b'\'') && e.closed() && e.in_word() && e.parameter;
    let only = single && e.prefix == Prefix::Empty && e.end - e.start <= ONLY_OPERATOR;
    let after_word = e.quoted() && e.closed() && e.prefix == Prefix::Word && e.parameter;
    match (e.quoted(), e.opener) {
        (true, Opener::Compare | Opener::Relation | Opener::Math) if only => Some(High),
        (true, Opener::Compare) if single || after_word => Some(High),
        // `aa'&0='aa`, `1'*id-'0`
        (true, Opener::Math) if (single || after_word) && (e.any(Facts::COMPARISON) || e.hard > 0) => {
            Some(High)
        }
        (true, Opener::Compare | Opener::Relation | Opener::Math) if e.commented() => Some(e.in_datum(High)),
        (true, Opener::Compare | Opener::Relation) if e.closed() => Some(e.in_datum(Medium)),
        (true, Opener::Compare | Opener::Relation | Opener::Math) if e.closed() => Some(Low),
        _ => None,
    }
}

/// Bytes of `' sounds like '`.
const ONLY_OPERATOR: usize = 15;

fn comment(e: &Evidence) -> Option<Confidence> {
    let only = e.opener == Opener::Comment || (e.opener == Opener::Statement && e.facts == Facts::default());
    match e.ending {
        Ending::Comment(_) if !only || !e.quoted() => None,
        Ending::Comment(_) if e.commented() => Some(e.in_datum(High)),
        Ending::Comment(_) => Some(Low),
        // `admin';`: some drivers ignore what follows the first statement.
        Ending::Complete
            if only && e.opener == Opener::Statement && e.quoted() && e.prefix == Prefix::Word =>
        {
            Some(if e.parameter { High } else { Medium })
        }
        _ => None,
    }
}

fn statement(e: &Evidence) -> Option<Confidence> {
    match () {
        () if e.context != Context::Statement => None,
        // `select char(`, `declare @x`, `execute immediate '..`
        () if e.parameter && e.any(Facts::CUT.or(Facts::HOSTILE)) => Some(High),
        // `select iif(1>1, ..)`: its result is known in advance.
        () if e.parameter && e.any(Facts::STATEMENT) && e.any(Facts::CONSTANTS) && !e.broken() => Some(High),
        // `select 1,sin(2) from t where`: the statement around the value goes on.
        () if e.parameter && e.ending == Ending::Incomplete && e.hard > 2 => Some(High),
        () if !e.any(Facts::STATEMENT) => None,
        () if e.commented() => Some(High),
        () if e.broken() => Some(Low),
        // `select @@version`: nobody asks that for its own sake, but who looks around.
        () if e.parameter && e.any(Facts::INFORMATION) => Some(High),
        () => Some(Medium),
    }
}

/// `(1 * @a) --`, `1 + pi() --`
fn rest(e: &Evidence) -> Option<Confidence> {
    let computes = Facts::CALCULATED
        .or(Facts::INFORMATION)
        .or(Facts::OTHER_FUNCTION)
        .or(Facts::TEXT_FUNCTION)
        .or(Facts::TRUTHY)
        .or(Facts::CONDITION)
        .or(Facts::COMPARISON);
    let applies = e.context == Context::Bare
        && e.operand != Operand::Name
        && e.operand != Operand::Absent
        && match e.mark {
            b'-' => e.any(computes) || e.operand == Operand::Constant,
            b'/' => e.any(computes),
            _ => false,
        }
        && e.ending == Ending::Comment(Remark::Tidy);
    applies.then_some(if e.parameter { High } else { Medium })
}

/// `1/**/union`, `1 /*x*/ or /*x*/ 1`
fn masked(e: &Evidence) -> Option<Confidence> {
    let goes_on =
        matches!(e.opener, Opener::Boolean | Opener::SetOperator | Opener::Clause | Opener::Statement);
    let stands = e.context == Context::Bare && e.operand != Operand::Name || e.quoted() && e.in_word();
    let hides = e.masked || e.cut_lines && e.opener == Opener::SetOperator;
    (hides && goes_on && stands).then_some(if e.parameter { High } else { Medium })
}

#[cfg(test)]
mod tests;
