//! Replays the corpora of the fuzz targets: what was ever found, and what every body should see once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a fuzz body fails by panicking")]

#[path = "../../fuzz/src/lib.rs"]
mod bodies;

use std::path::Path;

/// What every target tries on its own input.
fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        let input = std::fs::read(&path).unwrap();
        let replayed = std::panic::catch_unwind(|| run(&input));
        assert!(replayed.is_ok(), "{}: {}", path.display(), input.escape_ascii());
        count += 1;
    }
    assert!(count > 2, "{} has {count} inputs", corpus.display());
    run(b"");
}

macro_rules! replays {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target), bodies::$target::run);
        })*
    };
}

replays! {
    bundle chunked coding detectors engine event exchange field graphql grpc guard head history http2 json multipart nested
    protobuf protocol proxy_protocol stream target xml
}
