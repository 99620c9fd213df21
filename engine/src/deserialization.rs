//! Deserialisation of untrusted data (CWE-502, CAPEC-586): is this value an object that was written out, of a kind that
//! runs code when it is read back?
//!
//! Formats of languages begin with bytes that text does not have, raw, in hex or in base64: they are decoded and checked
//! as far as the format says what comes next. Objects in PHP's format name their class with its length. In text formats
//! (YAML, JSON, XML) it is the tag or the class: those of known gadgets. What an application may really exchange (plain
//! arrays of PHP, types of an own namespace) is not reported. Sources: Java Object Serialization Specification 6;
//! MS-NRBF 2.6.1; pickle PEP 3154; ysoserial, marshalsec and phpggc for the names of gadgets.
//!
//! In reading order: `formats`, `gadgets`. Called through [`DETECTOR`].

use std::sync::LazyLock;

use rasp_policy::class::Class;

use crate::decode::Field;
use crate::detector::{Detector, Needs, Report, Rule};
use crate::marks::{Marks, surer};
use crate::reason::Reason;

mod formats;
mod gadgets;

pub(crate) static DETECTOR: Detector =
    Detector { class: Class::Deserialization, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs { alone: b"\x04\x80\xAC", bytes: b"0:/VJTB!<.$_\n", needles: NEEDLES };

const NEEDLES: &[&str] = &[
    "ro0ab",
    "aced0005",
    "tzo",
    "aaeaaad/",
    "gasv",
    "gaj",
    "gan",
    "bahv",
    "o:",
    "c:",
    "!!python",
    "!!javax",
    "!!java",
    "!!com.",
    "!!org.",
    "!ruby/",
    "!!js/",
    "_$$nd_func$$_",
    "cos\n",
    "cposix\n",
    "cnt\n",
    "c__builtin__\n",
    "cbuiltins\n",
    "csubprocess\n",
    "java.beans.",
    "serialization=",
    "dynamic-proxy",
    "rdn_-rdnentry",
    "methodclosure",
    "templatesimpl",
    "jdbcrowsetimpl",
    "invokertransformer",
    "clonetransformer",
    "forclosure",
    "whileclosure",
    "instantiatefactory",
    "instantiatetransformer",
    "prototypeclonefactory",
    "prototypeserializationfactory",
    "objectdataprovider",
    "typeconfusedelegate",
    "java.lang.processbuilder",
    "java.lang.runtime",
    "base64data",
    "wrapperconnectionpooldatasource",
    "priorityqueue",
    "java.util.comparators",
    "imageio.spi",
    "xrtreefrag",
    "multiuidefaults",
    "system.diagnostics.process",
    "java.net.inet4address",
    "java.net.url",
    "java.lang.autocloseable",
    "basicdatasource",
    "propertypathfactorybean",
];

static KNOWN: LazyLock<Marks> = LazyLock::new(|| Marks::new(gadgets::MARKS));

fn rules() -> Vec<Rule> {
    gadgets::RULES.iter().map(|rule| **rule).collect()
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    report.budget().work(2 * field.value.len())?;
    let found = surer(formats::find(field.value), KNOWN.find(field.value, report.budget())?);
    if let Some(found) = found {
        found.report(field, report, |_| false);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
