//! How much memory pods and policies take while they are judged. JSON is small on the wire and large in memory: `{"a":0},` has eight
//! bytes, and seven hundred once it is a map, so that one review of 3 MiB could take 300 MiB and the operator with it.
//!
//! The weight of a text is an upper bound of what it becomes, told in one pass without reading it. One review
//! has a limit, and all that are judged at the same moment have the same one together. Called by `webhook` and `validate`
//! before an object is read.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Error;

/// Bytes that one review, and all of them at the same moment, may become. An ordinary pod of 1 MiB becomes 25 MiB.
pub(crate) const MOST: usize = 48 << 20;

/// A pod that becomes no more than this needs no room, as ordinary ones do: whoever keeps the room full keeps only large ones
/// out. Nothing waits while a pod is held, so there are never more of them than threads.
const FREE: usize = 1 << 20;

/// Longest wait for room; pods are judged within milliseconds, and API servers wait for 5 s.
const PATIENCE: Duration = Duration::from_secs(2);

static ROOM: Semaphore = Semaphore::const_new(MOST >> 10);

/// A leaf of a map from texts to values: eleven of both, and its links.
const MAP: usize = 640;
/// What a list takes for its first element: room for four.
const LIST: usize = 128;
/// One more element of a list that has just doubled, or its part of one more leaf of a map.
const MEMBER: usize = 112;
/// What the allocator rounds up at each end of a text.
const QUOTE: usize = 16;

/// Waits for room for objects of this weight, if they need any. The permit is held as long as the values that were read from
/// their texts.
pub(crate) async fn room(weight: usize) -> Result<Option<SemaphorePermit<'static>>, Error> {
    if weight <= FREE {
        return Ok(None);
    }
    if weight > MOST {
        return Err(Error::TooHeavy(weight));
    }
    let kib = u32::try_from(weight.div_ceil(1024)).unwrap_or(u32::MAX);
    match tokio::time::timeout(PATIENCE, ROOM.acquire_many(kib)).await {
        Ok(Ok(room)) => Ok(Some(room)),
        _ => Err(Error::Busy),
    }
}

/// Bytes of memory that a JSON text becomes, and not less.
pub(crate) fn of(json: &str) -> usize {
    let (mut in_text, mut escaped) = (false, false);
    json.bytes().fold(json.len(), |weight, byte| {
        let more = match byte {
            _ if escaped => {
                escaped = false;
                0
            }
            b'\\' if in_text => {
                escaped = true;
                0
            }
            b'"' => {
                in_text = !in_text;
                QUOTE
            }
            _ if in_text => 0,
            b'{' => MAP,
            b'[' => LIST,
            b',' => MEMBER,
            _ => 0,
        };
        weight + more
    })
}

#[cfg(test)]
mod tests {
    use super::{FREE, LIST, MAP, MEMBER, QUOTE, ROOM, of, room};

    #[tokio::test]
    async fn whoever_fills_the_room_keeps_no_small_pod_out() {
        let all = ROOM.acquire_many(u32::try_from(super::MOST >> 10).unwrap()).await.unwrap();
        assert!(room(of(r#"{"spec":{}}"#)).await.unwrap().is_none());
        drop(all);
        assert!(room(of(&"[".repeat(FREE / LIST))).await.unwrap().is_some());
    }

    #[test]
    fn what_stands_in_a_text_has_no_weight_but_its_length() {
        let table = [
            ("", 0),
            ("0", 1),
            ("[0,0]", 5 + LIST + MEMBER),
            (r#"{"a":{}}"#, 8 + 2 * MAP + 2 * QUOTE),
            (r#""[{,\"[{,""#, 10 + 2 * QUOTE),
            (r#""\\"[,"#, 6 + 2 * QUOTE + LIST + MEMBER),
        ];
        for (json, expected) in table {
            assert_eq!(of(json), expected, "{json}");
        }
    }
}
