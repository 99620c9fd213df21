//! What the bytes of a value say one by one, all of them put together: a table that is looked up for each byte. Eight
//! at a time, and the last ones twice, which changes nothing: short values are many. Called by `prefilter`, decoders
//! and detectors.

use std::ops::BitOr;

/// For each byte what it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup<T>(pub [T; 256]);

impl Lookup<bool> {
    /// Whether it is one of these bytes.
    #[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        let mut table = [false; 256];
        let mut index = 0;
        while index < bytes.len() {
            table[bytes[index] as usize] = true;
            index += 1;
        }
        Self(table)
    }

    /// Whether any byte of the value is one of them.
    pub(crate) fn any(&self, value: &[u8]) -> bool {
        let (chunks, rest) = value.as_chunks::<16>();
        chunks.iter().any(|chunk| self.all(chunk)) || self.all(rest)
    }
}

impl Lookup<u8> {
    /// One number for the bytes of each list, and one for all others.
    #[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
    pub(crate) const fn sorted(others: u8, lists: &[(&[u8], u8)]) -> Self {
        let mut table = [others; 256];
        let mut list = 0;
        while list < lists.len() {
            let (bytes, sort) = lists[list];
            let mut index = 0;
            while index < bytes.len() {
                table[bytes[index] as usize] = sort;
                index += 1;
            }
            list += 1;
        }
        Self(table)
    }

    /// Bit n for the nth of at most eight bytes.
    #[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
    pub(crate) const fn bits(bytes: &[u8]) -> Self {
        let mut table = [0; 256];
        let mut index = 0;
        while index < bytes.len() {
            table[bytes[index] as usize] |= 1 << index;
            index += 1;
        }
        Self(table)
    }
}

impl<T: Copy + Default + BitOr<Output = T>> Lookup<T> {
    /// What one byte says.
    #[inline]
    pub(crate) fn one(&self, byte: u8) -> T {
        self.0.get(usize::from(byte)).copied().unwrap_or_default()
    }

    #[inline]
    fn chunk<const SIZE: usize>(&self, bytes: Option<&[u8; SIZE]>) -> T {
        bytes.map_or_else(T::default, |bytes| {
            bytes.iter().fold(T::default(), |all, byte| all | self.one(*byte))
        })
    }

    /// What all bytes of a value say.
    #[inline]
    pub(crate) fn all(&self, value: &[u8]) -> T {
        match value {
            [] => T::default(),
            [one] => self.one(*one),
            [first, .., last] if value.len() < 4 => {
                let middle = value.get(1).map_or_else(T::default, |middle| self.one(*middle));
                self.one(*first) | middle | self.one(*last)
            }
            _ if value.len() < 8 => {
                self.chunk::<4>(value.first_chunk()) | self.chunk::<4>(value.last_chunk())
            }
            _ => {
                let (chunks, _) = value.as_chunks::<8>();
                let most = chunks.iter().fold(T::default(), |all, chunk| all | self.chunk(Some(chunk)));
                most | self.chunk::<8>(value.last_chunk())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lookup;

    #[test]
    fn every_byte_of_a_value_counts_wherever_it_stands() {
        let set = Lookup::of(b"'\xff");
        for length in 0..40 {
            let mut value = vec![b'a'; length];
            assert!(!set.all(&value) && !set.any(&value));
            for at in 0..length {
                for byte in [b'\'', 0xFF] {
                    value[at] = byte;
                    assert!(set.all(&value) && set.any(&value), "{at} of {length}");
                }
                value[at] = b'a';
            }
        }
    }
}
