//! The whole stack on a throw-away data folder, for somebody who has just cloned the repository.

mod demo;
mod probe;
mod stack;

use std::time::Instant;

use anyhow::{Result, bail};

use crate::console;
use crate::interrupt::Interrupt;
use crate::job;
use crate::repo::Repo;
use crate::trial::demo::Demo;
use crate::trial::probe::{Answer, Https};
use crate::trial::stack::Stack;

/// Builds, starts, shows, serves until Ctrl-C, and leaves nothing behind.
pub fn run(repo: &Repo, interrupt: &Interrupt, port: Option<u16>) -> Result<()> {
    console::step("building aditd and adit");
    let mut build = repo.cargo();
    build.args(["build", "--package", "aditd", "--package", "adit-agent"]);
    job::run("cargo build", &mut build, interrupt)?;

    let started = Instant::now();
    console::step("starting");
    let demo = if port.is_none() { Some(Demo::start()?) } else { None };
    let Some(port) = port.or_else(|| demo.as_ref().map(Demo::port)) else { bail!("nothing to expose") };
    let mut stack = Stack::start(&repo.target().join("debug"), interrupt, port)?;
    let answer = stack.until_it_serves(interrupt, demo.is_some().then_some(demo::MARK))?;
    let https = probe::https(&stack.https_url(), stack.ca_file());
    console::line(&invitation(&stack, demo.is_some(), answer, https, started.elapsed().as_secs_f32()));

    let ended = stack.serve_until(interrupt);
    console::line("stopping");
    ended
}

fn invitation(stack: &Stack, demo: bool, answer: Answer, https: Https, seconds: f32) -> String {
    let upstream = match (demo, answer) {
        (true, _) => {
            format!("a built-in demo page (cargo xtask try --port {} exposes a service of yours)", 3000)
        }
        (false, Answer::Served) => format!("localhost:{}", stack.port()),
        (false, _) => format!("localhost:{}: nothing is listening there yet. Start your app", stack.port()),
    };
    let https_state = match https {
        Https::Served => "",
        Https::NotTried => "   (not checked: curl is not installed)",
        Https::Failed => "   (curl could not fetch it; see the logs below)",
    };
    format!(
        "\nReady in {seconds:.1} s. Answers were checked through the public URL.\n\n\
         Public URL   {http}\n\
         HTTPS        {url}{https_state}\n\
         CA file      {ca}\n\
         Forwarding   to {upstream}\n\n\
         Try it:\n\n  curl {http}\n  curl --cacert {ca} {url}\n\n\
         Expose something else from a second terminal:\n\n  ADIT_CONFIG={config} {agent} http 3000\n\n\
         Logs are in {folder}. Ctrl-C ends everything and removes that folder.\n",
        http = stack.http_url(),
        url = stack.https_url(),
        ca = stack::quoted(stack.ca_file()),
        config = stack::quoted(&stack.config_file()),
        agent = stack::quoted(stack.agent_program()),
        folder = stack.folder().display(),
    )
}
