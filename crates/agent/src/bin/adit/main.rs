//! `adit`: gives a local service a public address.
#![forbid(unsafe_code)]

mod args;
mod console;
mod environment;
mod logging;
mod pool;
mod run;
mod screen;
mod settings;

use std::ffi::OsString;
use std::process::ExitCode;

use adit_agent::{ExitStatus, redact};
use clap::Parser;

use args::{Cli, Command};
use console::{Console, Tone};
use environment::Surroundings;

fn main() -> ExitCode {
    let surroundings = Surroundings::read();
    let mut console = Console::standard(surroundings.color);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.iter().any(|argument| redact::has_api_key(&argument.to_string_lossy())) {
        return settings::refuse_key_in_arguments(&mut console).into();
    }
    match Cli::try_parse_from(arguments) {
        Ok(cli) => start(cli, surroundings, console).into(),
        Err(error) => usage(&error, &mut console).into(),
    }
}

fn start(cli: Cli, surroundings: Surroundings, mut console: Console) -> ExitStatus {
    if cli.global.authtoken.is_some() {
        return settings::refuse_key_in_arguments(&mut console);
    }
    let flags = cli.global.into_flags();
    match cli.command {
        Command::Version => {
            // A reader that left has what it wanted.
            drop(console.line(concat!("adit ", env!("CARGO_PKG_VERSION"))));
            ExitStatus::Success
        }
        Command::Config(command) => settings::run(&command, flags, surroundings.config, &mut console),
        Command::Http(http) => run::run(http.order(), flags, surroundings.config, console),
        Command::Tls(tls) => run::run(tls.order(), flags, surroundings.config, console),
        Command::Udp(udp) => run::run(udp.order(), flags, surroundings.config, console),
        Command::Tcp(tcp) => run::run(tcp.order(), flags, surroundings.config, console),
    }
}

/// Help and versions are answers, everything else is a mistake in the command line.
fn usage(error: &clap::Error, console: &mut Console) -> ExitStatus {
    let text = error.render().to_string();
    if error.use_stderr() {
        console.raw_error(&redact::api_keys(&text));
        return ExitStatus::Usage;
    }
    drop(console.raw(&text));
    ExitStatus::Success
}

/// The usual shape of an error: what happened, what to do.
fn fail(console: &mut Console, status: ExitStatus, happened: &str, advice: &str) -> ExitStatus {
    console.trouble(Tone::Bad, "error", happened, advice);
    status
}
