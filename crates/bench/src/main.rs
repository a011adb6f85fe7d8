//! The load driver: Adit beside its peers, on one machine, under the same loads.
//!
//! `cargo xtask bench` builds and fetches what it needs and starts it. Loads, systems and measurements know nothing of
//! each other's insides; `run` puts them together.
#![forbid(unsafe_code)]

mod arguments;
mod console;
mod delay;
mod figure;
mod head;
mod histogram;
mod limits;
mod load;
mod measure;
mod number;
mod origin;
mod pattern;
mod report;
mod run;
mod system;
mod visitor;

use std::process::ExitCode;

use adit_process::signals::Signals;
use anyhow::{Context as _, Result, bail};
use clap::Parser as _;

use arguments::{Arguments, Part};
use origin::Origin;

fn main() -> ExitCode {
    let outcome = start(&Arguments::parse());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::note(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> Result<()> {
    // One thread: what the driver takes, the system under load cannot have.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let mut signals = Signals::listen().context("cannot watch for Ctrl-C")?;
        let work = async {
            match arguments.part {
                Some(Part::Origin) => origin().await,
                None => run::run(&arguments.run).await,
            }
        };
        tokio::select! {
            outcome = work => outcome,
            _ = signals.terminate() => bail!("interrupted"),
        }
    })
}

/// Says where it is and serves until nobody holds its standard input.
async fn origin() -> Result<()> {
    let origin = Origin::listen().await?;
    console::line(&origin.address().to_string());
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let wait = move || {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        drop(tell);
    };
    std::thread::Builder::new().name("input".into()).spawn(wait).context("no thread")?;
    tokio::select! {
        outcome = origin.serve() => outcome,
        _ = told => Ok(()),
    }
}
