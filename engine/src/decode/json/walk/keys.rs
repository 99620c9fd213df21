//! Keys of a document that were read before, each with the one that came behind it: the objects of a list have the same
//! keys in the same order. Where the text goes on as it did, a key is not read again. Only keys that nothing looks at are
//! kept, and which ones those are does not change within a document. Called by [`super`].

/// Documents with more are read as they come.
const MOST: usize = 48;

/// Whether nothing was kept behind a key. The first entry stands for the document.
const NOTHING: usize = 0;

pub(super) struct Keys<'a> {
    list: [Known<'a>; MOST],
    count: usize,
}

#[derive(Clone, Copy, Default)]
struct Known<'a> {
    /// From the quote to the colon.
    text: &'a [u8],
    /// The first bytes of it, as many as fit, and which those are.
    start: u128,
    mask: u128,
    /// The key that came next in its object, and the first key of an object that was its value.
    next: u8,
    inside: u8,
}

/// Behind which key another one stands.
#[derive(Clone, Copy)]
pub(super) enum Behind {
    Next(usize),
    /// It is the first of an object.
    Inside(usize),
    /// One that is not kept.
    Unknown,
}

/// A key that is kept.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    pub name: &'a [u8],
    /// Bytes up to the colon, with it.
    pub length: usize,
    pub number: usize,
}

impl<'a> Keys<'a> {
    pub fn new() -> Self {
        Self { list: [Known::default(); MOST], count: 1 }
    }

    fn number(&self, behind: Behind) -> usize {
        let known = |number: usize| self.list.get(number);
        let number = match behind {
            Behind::Next(number) => known(number).map(|known| known.next),
            Behind::Inside(number) => known(number).map(|known| known.inside),
            Behind::Unknown => None,
        };
        number.map_or(NOTHING, usize::from)
    }

    /// The key that stood here before, where the text goes on with it.
    #[inline]
    pub fn find(&self, behind: Behind, text: &[u8]) -> Option<Kept<'a>> {
        let number = self.number(behind);
        let known = self.list.get(number).filter(|_| number != NOTHING)?;
        let is_start = u128::from_le_bytes(*text.first_chunk()?) & known.mask == known.start;
        let length = known.text.len();
        if !is_start || length > 16 && !text.starts_with(known.text) {
            return None;
        }
        Some(Kept { name: known.text.get(1..length - 2)?, length, number })
    }

    /// Keeps a key, written from its quote to its colon, while there is room.
    #[cold]
    pub fn keep(&mut self, behind: Behind, text: &'a [u8]) -> Option<usize> {
        if self.count == MOST {
            return None;
        }
        let same = self.list.iter().take(self.count).position(|known| known.text == text);
        let number = same.unwrap_or(self.count);
        if same.is_none() {
            let slot = self.list.get_mut(number)?;
            let mut start = [0; 16];
            start.iter_mut().zip(text).for_each(|(place, byte)| *place = *byte);
            let mask = u128::MAX.checked_shr(u32::try_from(16 - text.len().min(16)).ok()? * 8)?;
            *slot = Known { text, start: u128::from_le_bytes(start), mask, next: 0, inside: 0 };
            self.count += 1;
        }
        let link = match behind {
            Behind::Next(before) => self.list.get_mut(before).map(|known| &mut known.next),
            Behind::Inside(outer) => self.list.get_mut(outer).map(|known| &mut known.inside),
            Behind::Unknown => None,
        };
        if let Some(link) = link {
            *link = u8::try_from(number).unwrap_or(0);
        }
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_again_where_it_stood() {
        let mut keys = Keys::new();
        let first = keys.keep(Behind::Inside(0), b"\"id\":").unwrap();
        let second = keys.keep(Behind::Next(first), b"\"a_longer_name_of_it\":").unwrap();
        let find =
            |behind, text: &[u8]| keys.find(behind, text).map(|kept| (kept.number, kept.name.to_vec()));
        assert_eq!(find(Behind::Inside(0), b"\"id\":1,   \"a\":   2"), Some((first, b"id".to_vec())));
        assert_eq!(find(Behind::Inside(0), b"\"ie\":1,   \"a\":   2"), None);
        assert_eq!(find(Behind::Next(second), b"\"id\":1,   \"a\":   2"), None);
        let long = b"\"a_longer_name_of_it\":true, more".as_slice();
        assert_eq!(find(Behind::Next(first), long), Some((second, b"a_longer_name_of_it".to_vec())));
        assert_eq!(find(Behind::Next(first), b"\"a_longer_name_of_us\":true, more"), None);
        assert_eq!(find(Behind::Unknown, long), None);
        // The end of the text is not worth it.
        assert_eq!(find(Behind::Inside(0), b"\"id\":1"), None);
        assert_eq!(keys.keep(Behind::Next(second), b"\"id\":"), Some(first));
    }

    #[test]
    fn many_keys_are_not_kept() {
        let mut keys = Keys::new();
        let texts: Vec<String> = (0..2 * MOST).map(|number| format!("\"{number}\":")).collect();
        let kept = texts.iter().filter(|text| keys.keep(Behind::Unknown, text.as_bytes()).is_some()).count();
        assert_eq!(kept, MOST - 1);
        assert_eq!(keys.keep(Behind::Unknown, b"\"0\":"), None);
    }
}
