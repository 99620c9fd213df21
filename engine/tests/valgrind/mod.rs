//! Whether there is a valgrind that counts instructions.

use std::process::{Command, Stdio};

/// Says so where there is none.
pub fn is_missing() -> bool {
    let missing = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err();
    if missing {
        println!("valgrind is not installed (Debian: valgrind): nothing is counted");
    }
    missing
}
