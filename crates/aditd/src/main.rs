//! `aditd`: everything that a server runs. Reads its configuration and puts the parts together; nothing else.
#![forbid(unsafe_code)]

mod admin;
mod alone;
mod cli;
mod data;
mod print;
mod supervise;
mod up;

use std::process::ExitCode;

use adit_process::telemetry::{self, Format};
use anyhow::Context;
use clap::Parser;

use cli::{Cli, Command, LogFormat};

/// The environment variable that selects a database server. Its value holds a password, so it is not an argument.
const DATABASE_URL: &str = "DATABASE_URL";

fn main() -> ExitCode {
    // Clap's own way out: usage errors go to the standard error stream with status 2, help and version with 0.
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let format = match cli.log.log_format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    let _log = telemetry::init(format, &cli.log.log).context("the log cannot be started")?;
    adit_net::tls::install_provider()?;
    #[expect(clippy::disallowed_methods, reason = "the configuration of the program is read here")]
    let database_url = std::env::var(DATABASE_URL).ok().filter(|url| !url.is_empty());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    match cli.command {
        Command::Up(args) => runtime.block_on(up::up(args, database_url)),
        Command::Admin(args) => runtime.block_on(admin::admin(args, database_url)),
    }
}
