//! Parameters that come more than once. Some applications join their values with commas (ASP.NET), so that an attack can
//! be sent in pieces none of which is one. Called for a query and a form.

use super::pairs::{self, Parts};
use super::{Field, Visit, percent};
use crate::reason::Reason;

/// Names that are remembered. More are not looked at: what has more is no form that people made.
const NAMES: usize = 64;
/// Pieces of one value.
const PIECES: usize = 16;

/// Yields the values of each name that comes more than once and has more than letters and numbers, joined.
pub(super) fn decode(bytes: &[u8], parts: Parts, visit: &mut dyn Visit) -> Result<(), Reason> {
    let mut repeated = repeated(bytes);
    if repeated.is_empty() {
        return Ok(());
    }
    visit.budget().work(2 * bytes.len())?;
    let mut buffer = Vec::new();
    for pair in bytes.split(|byte| *byte == b'&') {
        let name = name(pair);
        let Some(whole) = repeated.iter_mut().find(|whole| whole.name == name) else { continue };
        whole.pieces += 1;
        if whole.pieces > PIECES {
            continue;
        }
        if whole.pieces > 1 {
            whole.value.push(b',');
        }
        let value = pair.get(name.len() + 1..).unwrap_or_default();
        whole.value.extend_from_slice(percent::decode(value, true, &mut buffer));
    }
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b",._- ".contains(byte) || *byte >= 0x80;
    for whole in repeated.iter().filter(|whole| !whole.value.iter().all(is_plain)) {
        pairs::text(&Field { part: parts.value, name: whole.name, value: &whole.value }, visit)?;
    }
    Ok(())
}

struct Whole<'a> {
    name: &'a [u8],
    value: Vec<u8>,
    pieces: usize,
}

/// Names that come more than once. They nearly never do, and then this is all there is to it.
fn repeated(bytes: &[u8]) -> Vec<Whole<'_>> {
    let mut repeated: Vec<Whole<'_>> = Vec::new();
    let mut names = Names { list: [b""; NAMES], count: 0, places: [NOBODY; PLACES] };
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let end = memchr::memchr2(b'&', b'=', rest).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        let rest = rest.get(end..).unwrap_or_default();
        at += end + 1;
        if rest.first() == Some(&b'=') {
            at += memchr::memchr(b'&', rest).unwrap_or(rest.len());
        }
        if !name.is_empty() && names.has(name) && !repeated.iter().any(|whole| whole.name == name) {
            repeated.push(Whole { name, value: Vec::new(), pieces: 0 });
        }
    }
    repeated
}

/// The names that were seen, and by their hash where each is.
struct Names<'a> {
    list: [&'a [u8]; NAMES],
    count: usize,
    places: [u8; PLACES],
}

const PLACES: usize = 4 * NAMES;
const NOBODY: u8 = u8::MAX;

impl<'a> Names<'a> {
    /// Whether the name was seen before. It is remembered, if there is room.
    fn has(&mut self, name: &'a [u8]) -> bool {
        let mut place = hash(name) % PLACES;
        // A quarter of the places is taken at most.
        while let Some(index) = self.places.get(place).filter(|index| **index != NOBODY) {
            if self.list.get(usize::from(*index)).is_some_and(|known| *known == name) {
                return true;
            }
            place = (place + 1) % PLACES;
        }
        if let (Some(slot), Ok(index)) = (self.list.get_mut(self.count), u8::try_from(self.count)) {
            *slot = name;
            self.count += 1;
            if let Some(place) = self.places.get_mut(place) {
                *place = index;
            }
        }
        false
    }
}

/// Of the length and the last eight bytes: names of one form differ at their ends. Collisions cost a comparison, and no
/// more than [`NAMES`] of them.
fn hash(name: &[u8]) -> usize {
    let end = name.last_chunk::<8>().copied().unwrap_or_else(|| {
        let mut end = [0; 8];
        end.iter_mut().zip(name).for_each(|(place, byte)| *place = *byte);
        end
    });
    let mixed = (u64::from_le_bytes(end) ^ name.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::from((mixed >> 48) as u16)
}

fn name(pair: &[u8]) -> &[u8] {
    pair.split(|byte| *byte == b'=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::seen;

    #[test]
    fn values_of_one_name_are_joined_where_they_are_more_than_words() {
        let rows: &[(&str, &[(&str, &str)])] = &[
            ("id=1'/*&id=*/or/*&a=b&id=*/1=1", &[("id", "1'/*,*/or/*,*/1=1")]),
            ("id=1%27&x=y&id=2", &[("id", "1',2")]),
            ("id=1&id=2&id=three", &[]),
            ("a='&b='", &[]),
            ("a&a=&=1'&=2'", &[]),
            ("", &[]),
        ];
        for (bytes, expected) in rows {
            let (fields, reason) = seen(|seen| decode(bytes.as_bytes(), pairs::QUERY, seen));
            assert_eq!(reason, None, "{bytes}");
            let found: Vec<_> = fields.iter().map(|(_, name, value)| (&**name, &**value)).collect();
            assert_eq!(found, *expected, "{bytes}");
        }
    }

    #[test]
    fn many_names_cost_no_more_than_few() {
        let body = (0..1_000).fold(String::new(), |body, number| format!("{body}a{number}='&a{number}='&"));
        let (fields, _) = seen(|seen| decode(body.as_bytes(), pairs::FORM, seen));
        assert!(fields.len() <= NAMES, "{}", fields.len());
    }
}
