//! `rasp-score FOLDER`: how well the default policy tells attacks from ordinary requests.
//!
//! Reads corpora (`*.jsonl`, `*.jsonl.xz`: one request a line), has each request judged in this process and, with
//! `--proxy`, by a real gateway, and writes tables (markdown and JSON) and the requests that were judged wrong, for
//! people to read. The corpora are somebody else's: nothing of them goes into this repository.

use std::path::PathBuf;

use clap::Parser;

mod corpus;
mod engine;
mod gateway;
#[cfg(test)]
mod own;
mod part;
mod report;
mod tally;

/// What to score, and where to.
#[derive(Parser, Debug)]
#[command(about = "How well the default policy tells attacks from ordinary requests")]
struct Cli {
    /// Folder of corpora, or one corpus
    corpora: PathBuf,
    /// Only corpora with one of these in their name
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The proxy, to have every request judged by a gateway too
    #[arg(long)]
    proxy: Option<PathBuf>,
    /// Folder for the tables and the lists
    #[arg(long, default_value = "target/score")]
    out: PathBuf,
    /// Fail when a minimum is missed
    #[arg(long)]
    strict: bool,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let mut scores = Vec::new();
    for file in corpus::files(&cli.corpora, &cli.only)? {
        let records = corpus::read(&file)?;
        if records.is_empty() {
            continue; // not requests: queries and commands for taint inference
        }
        eprintln!("{} ({} requests)", file.display(), records.len());
        let judged = engine::judge(&records)?;
        let answers = match &cli.proxy {
            Some(proxy) => Some(gateway::answers(proxy, &records)?),
            None => None,
        };
        scores.push(tally::Corpus::of(corpus::name(&file), records, judged, answers));
    }
    anyhow::ensure!(!scores.is_empty(), "{}: no corpus of requests", cli.corpora.display());
    let missed = report::write(&cli.out, &scores)?;
    anyhow::ensure!(!cli.strict || missed == 0, "{missed} minimums are missed");
    Ok(())
}
