//! What is streamed to whom: the newest verified Bundle of every namespace of which a pod listens.
//!
//! A Bundle that is not ours, or older than one already offered, is never offered: sidecars would refuse it. Nothing is
//! kept of namespaces without a stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rasp_policy::stream::bundle_frame;
use tokio::sync::watch;

use crate::observe::Stored;

/// A Bundle as it is streamed.
#[derive(Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its sequence.
    pub sequence: u64,
    /// Its digest.
    pub digest: String,
    /// UID of its namespace.
    pub uid: String,
    /// The frame, shared by every stream of the namespace.
    pub frame: Bytes,
}

type Topic = watch::Sender<Option<Arc<Offer>>>;

/// The newest Bundle of each namespace that is listened to.
#[derive(Default)]
pub struct Offers(Mutex<HashMap<String, Topic>>);

impl Offers {
    /// Listens to a namespace. `stored` reads what stands in its ConfigMap; it is called under a lock that orders it
    /// with [`Offers::renew`].
    pub fn subscribe(
        &self,
        namespace: &str,
        stored: impl FnOnce() -> Option<Arc<Stored>>,
    ) -> watch::Receiver<Option<Arc<Offer>>> {
        let mut topics = self.lock();
        if let Some(topic) = topics.get(namespace) {
            return topic.subscribe();
        }
        let (topic, receiver) = watch::channel(stored().and_then(|stored| offer(&stored)).map(Arc::new));
        topics.insert(namespace.to_owned(), topic);
        receiver
    }

    /// The ConfigMap of a namespace changed.
    pub fn renew(&self, namespace: &str, stored: impl FnOnce() -> Option<Arc<Stored>>) {
        let topics = self.lock();
        let Some(topic) = topics.get(namespace) else { return };
        let Some(fresh) = stored().and_then(|stored| offer(&stored)) else { return };
        topic.send_if_modified(|known| {
            let newer =
                known.as_ref().is_none_or(|known| known.uid != fresh.uid || known.sequence < fresh.sequence);
            if newer {
                *known = Some(Arc::new(fresh));
            }
            newer
        });
    }

    /// Forgets a namespace to which nobody listens any more.
    pub fn leave(&self, namespace: &str) {
        let mut topics = self.lock();
        if topics.get(namespace).is_some_and(|topic| topic.receiver_count() == 0) {
            topics.remove(namespace);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Topic>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Only of a ConfigMap that holds a Bundle of ours, for the namespace it is in.
fn offer(stored: &Stored) -> Option<Offer> {
    let (text, opened) = (stored.text.as_ref()?, stored.opened.as_ref().ok()?);
    let bundle = &opened.bundle;
    (bundle.namespace.name == stored.namespace).then(|| Offer {
        sequence: bundle.sequence,
        digest: opened.digest.clone(),
        uid: bundle.namespace.uid.clone(),
        frame: bundle_frame(text).into(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rasp_policy::bundle::{Bundle, Namespace, SCHEMA_VERSION};

    use super::Offers;
    use crate::observe::Stored;
    use crate::signing::Key;
    use crate::testing::{mk_stored, mk_stored_text};

    fn stored(key: &Key, namespace: &str, uid: &str, sequence: u64) -> Arc<Stored> {
        let namespace = Namespace { name: namespace.into(), uid: uid.into() };
        let bundle = Bundle { schema_version: SCHEMA_VERSION, namespace, sequence, entries: vec![] };
        Arc::new(mk_stored(&bundle, key))
    }

    #[test]
    fn only_newer_bundles_of_ours_for_this_namespace_are_offered() {
        let (key, stranger) = (Key::generate().unwrap(), Key::generate().unwrap());
        let offers = Offers::default();
        let mut shop = offers.subscribe("shop", || Some(stored(&key, "shop", "u", 5)));
        let sequence = |shop: &tokio::sync::watch::Receiver<Option<Arc<super::Offer>>>| {
            shop.borrow().as_ref().map(|offer| offer.sequence)
        };
        assert_eq!(sequence(&shop), Some(5));
        let forged = Arc::new(mk_stored_text(
            &stranger.seal(&stored(&key, "shop", "u", 9).opened.clone().unwrap().bundle).0,
            &key,
        ));
        let table = [
            ("older", Some(stored(&key, "shop", "u", 4)), 5),
            ("the same", Some(stored(&key, "shop", "u", 5)), 5),
            ("signed by a stranger", Some(forged), 5),
            ("of another namespace", Some(stored(&key, "bank", "u", 9)), 5),
            ("deleted", None, 5),
            ("newer", Some(stored(&key, "shop", "u", 6)), 6),
            ("older, but the namespace was made anew", Some(stored(&key, "shop", "u2", 1)), 1),
        ];
        for (name, stored, expected) in table {
            let before = sequence(&shop);
            offers.renew("shop", || stored);
            assert_eq!(sequence(&shop), Some(expected), "{name}");
            assert_eq!(shop.has_changed().unwrap(), before != Some(expected), "{name}");
            shop.mark_unchanged();
        }
    }

    #[test]
    fn nothing_is_kept_of_a_namespace_without_a_stream() {
        let key = Key::generate().unwrap();
        let offers = Offers::default();
        offers.renew("shop", || panic!("nobody listens"));
        let (first, second) = (
            offers.subscribe("shop", || Some(stored(&key, "shop", "u", 1))),
            offers.subscribe("shop", || panic!("is known")),
        );
        drop(first);
        offers.leave("shop");
        assert_eq!(offers.lock().len(), 1);
        drop(second);
        offers.leave("shop");
        assert!(offers.lock().is_empty());
    }
}
