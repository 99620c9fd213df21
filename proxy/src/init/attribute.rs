//! Netlink attributes: type-length-value records, padded to four bytes, nested in each other.
//!
//! Called by the encoders and decoders of this module. Reading must never panic, whatever the bytes are: anything
//! malformed is `None`, and the caller decides what that means.

/// Set by some senders on attributes that contain attributes; says nothing about the content.
const NESTED: u16 = 0x8000;
const NET_BYTE_ORDER: u16 = 0x4000;
const HEADER: usize = 4;

/// Rounds up to the alignment of netlink.
pub(super) fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// Attributes in the order they were added.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        // A record is at most 64 KiB. The longest here, the expressions of one rule, is about 300 bytes.
        let length = u16::try_from(HEADER + value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(aligned(self.0.len()), 0);
    }

    pub(super) fn string(&mut self, kind: u16, value: &str) {
        let mut terminated = Vec::with_capacity(value.len() + 1);
        terminated.extend_from_slice(value.as_bytes());
        terminated.push(0);
        self.bytes(kind, &terminated);
    }

    /// nftables sends its numbers in network byte order.
    pub(super) fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(super) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(kind | NESTED, &inner.0);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// The attributes of one level, taken out one by one, so that what is left over can be seen.
#[derive(Debug)]
pub(super) struct Fields<'a>(Vec<(u16, &'a [u8])>);

impl<'a> Fields<'a> {
    pub(super) fn parse(mut bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let (&[l0, l1, k0, k1], _) = bytes.split_first_chunk::<HEADER>()?;
            let length = usize::from(u16::from_ne_bytes([l0, l1]));
            let kind = u16::from_ne_bytes([k0, k1]) & !(NESTED | NET_BYTE_ORDER);
            fields.push((kind, bytes.get(HEADER..length)?));
            // The padding of the last record may be missing.
            bytes = bytes.get(aligned(length)..).unwrap_or_default();
        }
        Some(Self(fields))
    }

    pub(super) fn take(&mut self, kind: u16) -> Option<&'a [u8]> {
        let at = self.0.iter().position(|(k, _)| *k == kind)?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn be32(&mut self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(kind)?.try_into().ok()?))
    }

    pub(super) fn be64(&mut self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(kind)?.try_into().ok()?))
    }

    /// `Some(())` when the attribute is absent or has this value: what a kernel may or may not say about a default.
    pub(super) fn default32(&mut self, kind: u16, value: u32) -> Option<()> {
        match self.take(kind) {
            None => Some(()),
            Some(bytes) => (bytes == value.to_be_bytes()).then_some(()),
        }
    }

    pub(super) fn string(&mut self, kind: u16) -> Option<&'a str> {
        let bytes = self.take(kind)?;
        std::str::from_utf8(bytes.strip_suffix(&[0]).unwrap_or(bytes)).ok()
    }

    pub(super) fn nested(&mut self, kind: u16) -> Option<Self> {
        Self::parse(self.take(kind)?)
    }

    /// `Some(())` when no attribute up to `highest_known` is left. Higher ones are what a newer kernel adds; for an
    /// object that was written without them they state a default.
    pub(super) fn nothing_else(&self, highest_known: u16) -> Option<()> {
        self.0.iter().all(|(kind, _)| *kind > highest_known).then_some(())
    }

    pub(super) fn all(self, kind: u16) -> impl Iterator<Item = &'a [u8]> {
        self.0.into_iter().filter(move |(k, _)| *k == kind).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_padded_to_four_bytes_and_read_back() {
        let mut writer = Writer::default();
        writer.string(1, "input");
        writer.nested(2, |inner| inner.be32(3, 0x0102_0304));
        let bytes = writer.finish();
        let mut expected = Vec::new();
        expected.extend_from_slice(&10u16.to_ne_bytes());
        expected.extend_from_slice(&1u16.to_ne_bytes());
        expected.extend_from_slice(b"input\0\0\0");
        expected.extend_from_slice(&12u16.to_ne_bytes());
        expected.extend_from_slice(&0x8002u16.to_ne_bytes());
        expected.extend_from_slice(&8u16.to_ne_bytes());
        expected.extend_from_slice(&3u16.to_ne_bytes());
        expected.extend_from_slice(&[1, 2, 3, 4]);
        assert_eq!(bytes, expected);

        let mut fields = Fields::parse(&bytes).unwrap();
        assert_eq!(fields.string(1), Some("input"));
        assert_eq!(fields.nested(2).unwrap().be32(3), Some(0x0102_0304));
        assert_eq!(fields.nothing_else(u16::MAX), Some(()));
    }

    #[test]
    fn a_length_beyond_the_buffer_or_below_its_header_is_malformed() {
        for length in [0u16, 3, 9] {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend_from_slice(&[1, 0, 0, 0, 0, 0]);
            assert!(Fields::parse(&bytes).is_none(), "length {length}");
        }
        assert!(Fields::parse(&[8, 0]).is_none());
    }

    #[test]
    fn a_repeated_attribute_is_left_over() {
        let mut writer = Writer::default();
        writer.be32(1, 7);
        writer.be32(1, 8);
        let bytes = writer.finish();
        let mut fields = Fields::parse(&bytes).unwrap();
        assert_eq!(fields.be32(1), Some(7));
        assert_eq!(fields.nothing_else(3), None);
    }
}
