//! The wire guard: the strictest HTTP/1 parser on the way to the application. Sans-IO; allocates nothing.
//!
//! [`request`] follows framing itself and refuses whatever two servers could read in two ways (RFC 9112 section 11). It
//! never lets a head go on before it is complete and valid, and never repairs what it does not understand. [`field`],
//! [`host`], [`target`], [`mod@line`] and [`chunk`] are shared with the guards of responses and of HTTP/2, whose frames
//! [`frames`] follows. Fed by `connection::wire`.

pub mod awaited;
pub mod chunk;
pub mod field;
pub mod frames;
pub mod head;
pub mod host;
pub mod line;
pub mod request;
pub mod response;
pub mod rewrite;
pub mod target;

/// What a message may take. Of a head all but the body counts; lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a whole head.
    pub head: usize,
    /// Number of fields of a head.
    pub fields: usize,
    /// Of the name of a field.
    pub name: usize,
    /// Of the value of a field.
    pub value: usize,
    /// Of the target of a request.
    pub target: usize,
    /// Of the method of a request.
    pub method: usize,
    /// Number of empty lines before a request line (RFC 9112 section 2.2).
    pub blank_lines: usize,
    /// Of the extensions of one chunk.
    pub chunk_extension: usize,
    /// Number of digits of the size of a chunk, 16 at most.
    pub chunk_digits: usize,
    /// Of a whole trailer.
    pub trailer: usize,
    /// Number of fields of a trailer.
    pub trailer_fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 64 << 10,
            fields: 100,
            name: 128,
            value: 16 << 10,
            // Browsers send analytics of 17 KiB in a query; RFC 9112 section 3 recommends 8,000 bytes at least.
            target: 32 << 10,
            method: 64,
            blank_lines: 2,
            chunk_extension: 256,
            chunk_digits: 16,
            trailer: 16 << 10,
            trailer_fields: 100,
        }
    }
}

/// What is wrong with a piece of a message. What is said about it depends on whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A CR or LF that is no CRLF.
    #[error("a line ends with something other than CRLF")]
    LineEnd,
    /// A control byte.
    #[error("a control byte")]
    Control,
    /// A line over its limit.
    #[error("a line over its limit")]
    LineSize,
    /// A line that is no `name: value`.
    #[error("a line that is no field")]
    FieldLine,
    /// A name or value over its limit.
    #[error("a field over its limit")]
    FieldSize,
    /// A target of no known form, or with a byte that none may have.
    #[error("a target that is none")]
    Target,
    /// A size line, or the end of a chunk, that is none.
    #[error("a chunk that is none")]
    Chunk,
    /// A size or extensions over their limit.
    #[error("a chunk size or extensions over the limit")]
    ChunkSize,
    /// A trailer that is none, or a field that must not be in one.
    #[error("a trailer field that is none or must not be there")]
    Trailer,
    /// A trailer over its limit.
    #[error("a trailer over its limit")]
    TrailerSize,
}
