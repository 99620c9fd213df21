//! The last sequence in force, kept so that a restarted container refuses what its predecessor had outlived; and the
//! last envelope of the live stream, since the mounted file may be older for a minute, or for as long as nobody writes it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

const FILE: &str = "sequence";
const ENVELOPE: &str = "bundle";

/// The Bundle that was last in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// Its sequence.
    pub sequence: u64,
    /// Its digest.
    pub digest: String,
}

/// Where the last sequence is kept.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// Keeps it in this directory.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// What was kept; `None` when nothing readable was.
    pub fn read(&self) -> Option<Last> {
        let text = std::fs::read_to_string(self.directory.join(FILE)).ok()?;
        let (sequence, digest) = text.trim_end().split_once(' ')?;
        Some(Last { sequence: sequence.parse().ok()?, digest: digest.to_owned() })
    }

    /// Keeps it, whole or not at all.
    pub fn write(&self, last: &Last) -> std::io::Result<()> {
        let next = self.directory.join("sequence.next");
        let mut file = std::fs::File::create(&next)?;
        writeln!(file, "{} {}", last.sequence, last.digest)?;
        file.sync_all()?;
        std::fs::rename(next, self.directory.join(FILE))
    }

    /// The envelope that was kept.
    pub fn envelope(&self) -> Option<Vec<u8>> {
        std::fs::read(self.directory.join(ENVELOPE)).ok()
    }

    /// Keeps an envelope. The directory has room for one of the largest: the old one goes first, and one that is torn
    /// does not pass its signature.
    pub fn keep(&self, envelope: &[u8]) -> std::io::Result<()> {
        let file = self.directory.join(ENVELOPE);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => std::fs::write(file, envelope),
        }
    }
}
