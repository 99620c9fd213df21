//! Strings and keys of a JSON document, streamed: duplicate keys are seen, nothing is collected.

use std::borrow::Cow;
use std::cell::Cell;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Field, Visit, pairs};
use crate::finding::Part;
use crate::reason::Reason;

mod lenient;

/// Whether it starts like a document with members.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['))
}

pub(super) fn is_valid(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// Yields keys and strings. Of a document that breaks off or is malformed, everything that looks like a string is
/// inspected, and the raw text, because the application may read it more leniently than we do.
pub(super) fn decode(bytes: &[u8], truncated: bool, visit: &mut dyn Visit) -> Result<(), Reason> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let read = match visit.budget().enter_document() {
        Ok(()) => {
            let read = walk(bytes, visit);
            visit.budget().leave_document();
            read?
        }
        Err(reason) => Some(reason),
    };
    let Some(reason) = read else { return Ok(()) };
    if !truncated {
        visit.note(reason);
    }
    lenient::decode(bytes, visit)?;
    visit.field(&Field { part: Part::Text, name: b"", value: bytes })
}

/// Gives why the document was not read to its end.
fn walk(bytes: &[u8], visit: &mut dyn Visit) -> Result<Option<Reason>, Reason> {
    let stopped = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let walk = Walk { visit, stopped: &stopped, key: "", depth: 0 };
    let result = walk.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match (stopped.get(), result) {
        (Some(Reason::TooDeep), _) => Ok(Some(Reason::TooDeep)),
        (Some(reason), _) => Err(reason),
        (None, Err(_)) => Ok(Some(Reason::MalformedBody)),
        (None, Ok(())) => Ok(None),
    }
}

/// The key of a member, borrowed where it has no escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

struct Walk<'a> {
    visit: &'a mut dyn Visit,
    /// Why the visitor stopped the walk; serde's own errors carry text only.
    stopped: &'a Cell<Option<Reason>>,
    key: &'a str,
    depth: usize,
}

impl Walk<'_> {
    fn keep<T, E: serde::de::Error>(&self, result: Result<T, Reason>) -> Result<T, E> {
        result.map_err(|reason| {
            self.stopped.set(Some(reason));
            E::custom("stopped")
        })
    }

    fn child<'b>(&'b mut self, key: &'b str) -> Walk<'b> {
        Walk { visit: &mut *self.visit, stopped: self.stopped, key, depth: self.depth + 1 }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        let field = Field { part: Part::Json, name: self.key.as_bytes(), value: value.as_bytes() };
        let result = pairs::text(&field, self.visit);
        self.keep(result)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let deep = self.visit.budget().allows_depth(self.depth + 1);
        self.keep(deep)?;
        let key = self.key;
        while members.next_element_seed(self.child(key))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let deep = self.visit.budget().allows_depth(self.depth + 1);
        self.keep(deep)?;
        while let Some(Key(key)) = members.next_key()? {
            let field = Field { part: Part::JsonKey, name: b"", value: key.as_bytes() };
            let result = self.visit.field(&field);
            self.keep::<(), A::Error>(result)?;
            members.next_value_seed(self.child(&key))?;
        }
        Ok(())
    }
}
