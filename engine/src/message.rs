//! The borrowed view of a request that the proxy hands over. Holds nothing and copies nothing.

use std::fmt::Debug;

use crate::reason::Reason;

/// Who gets name and value of a field, and may refuse to see more.
pub type Show<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), Reason> + 'a;

/// The fields of a head, wherever they are kept.
pub trait Fields: Debug + Sync {
    /// Shows name and value of each line, as they came, until one is refused.
    fn each(&self, show: &mut Show<'_>) -> Result<(), Reason>;
}

/// None.
impl Fields for () {
    fn each(&self, _: &mut Show<'_>) -> Result<(), Reason> {
        Ok(())
    }
}

impl<N: AsRef<[u8]> + Debug + Sync, V: AsRef<[u8]> + Debug + Sync> Fields for &[(N, V)] {
    fn each(&self, show: &mut Show<'_>) -> Result<(), Reason> {
        self.iter().try_for_each(|(name, value)| show(name.as_ref(), value.as_ref()))
    }
}

/// What the head of a request says, as it came: nothing decoded.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Method, for example `GET`.
    pub method: &'a str,
    /// Request target: path and query, percent-encoded as it came.
    pub target: &'a [u8],
    /// Value of `content-type`.
    pub content_type: Option<&'a [u8]>,
    /// Value of `content-encoding`.
    pub content_encoding: Option<&'a [u8]>,
    /// All fields. Only `inspect_head` reads them.
    pub fields: &'a dyn Fields,
}

/// What the proxy should hand over of the body that follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPlan {
    /// Stream it on and call `inspect_body` with [`Body::Opaque`].
    Skip,
    /// Collect at most so many bytes for `inspect_body`.
    Window(usize),
    /// A call of gRPC, which both sides write at once: `inspect_body` for each message when it is complete, with the five
    /// bytes of its frame, or for its beginning where it is longer than so many bytes. Where that cannot be done, a window.
    Messages(usize),
}

/// The body of a request, as far as the proxy collected it.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// The request has none.
    Empty,
    /// All of it.
    Complete(&'a [u8]),
    /// Its first bytes; it was longer than the window.
    Truncated(&'a [u8]),
    /// It was not collected.
    Opaque,
}
