//! The reader of GraphQL documents, and the detector that reads them: what holds of every message, whole and cut off.

use super::inspected::body;

/// The input is the body.
pub fn run(data: &[u8]) {
    body("application/graphql", data);
}
