//! Wiring: starts every part, and stops them in order when SIGTERM arrives.

use tracing_subscriber::EnvFilter;

/// JSON lines on stderr. A filter that cannot be read falls back to `info` and says so.
pub fn install_log(filter: &str) {
    let (parsed, error) = match filter.parse::<EnvFilter>() {
        Ok(parsed) => (parsed, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        .init();
    if let Some(error) = error {
        tracing::warn!(%error, "RASP_LOG cannot be read, info is used");
    }
}

/// Runs until SIGTERM.
pub async fn run(_args: crate::args::Run) -> anyhow::Result<()> {
    Ok(())
}
