//! `adit http` and its like: an agent from its start to its end.

use std::thread;
use std::time::Duration;

use adit_agent::config::{Config, Environment, Flags};
use adit_agent::limits::OUTPUT_FLUSH;
use adit_agent::{Agent, Event, Events, ExitStatus, Handle, Outcome, Parting, agent_key, chain};
use adit_domain::EndpointKind;
use adit_process::log_lines::LogFlush;
use adit_process::signals::{Signal, Signals};
use adit_process::tasks::Tasks;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::args::Order;
use crate::console::Console;
use crate::logging::{self, Destination};
use crate::pool::Sticky;
use crate::screen::{Audience, Screen};
use crate::settings::HOW_TO_ADD;

/// Threads that carry visitors' bytes: one may encrypt while the other copies.
const WORKERS: usize = 2;

/// Why nothing was started.
struct Failure {
    status: ExitStatus,
    happened: String,
    advice: String,
}

/// An agent, and what the user should know before it starts.
struct Prepared {
    agent: Agent,
    warning: Option<String>,
    log: Option<LogFlush>,
}

/// Runs until Ctrl-C, a service manager's word, a reader of the output that left, or a refusal for good.
pub fn run(order: Order<'_>, flags: Flags, environment: Environment, console: Console) -> ExitStatus {
    let mut screen = Screen::new(audience(order), console);
    let prepared = prepare(order, flags, environment).and_then(|prepared| Ok((prepared, runtime()?)));
    let (prepared, runtime) = match prepared {
        Ok(ready) => ready,
        Err(failure) => {
            let status = failure.status;
            // A reader that left cannot be told.
            drop(screen.show(&stopped(status, Some((failure.happened, failure.advice, None)))));
            return status;
        }
    };
    let status = runtime.block_on(serve(prepared, screen));
    // What still runs was cut already; nobody waits for it.
    runtime.shutdown_background();
    status
}

fn audience(order: Order<'_>) -> Audience {
    match (order.running.json, Destination::of(&order.running.log)) {
        (true, _) => Audience::Programs,
        (false, Destination::Stdout) => Audience::LogReaders,
        (false, _) => Audience::People,
    }
}

fn prepare(order: Order<'_>, flags: Flags, environment: Environment) -> Result<Prepared, Failure> {
    if order.running.json && Destination::of(&order.running.log) == Destination::Stdout {
        let advice = "Send the log elsewhere, as with --log stderr.";
        return Err(usage("--json and --log stdout would mix on standard output", advice));
    }
    if order.running.pool.sticky == Some(Sticky::Cookie) && order.upstream.kind() != EndpointKind::Http {
        let advice = "Use --sticky address: only HTTP has cookies.";
        return Err(usage(&format!("--sticky cookie means nothing for {}", order.upstream.kind()), advice));
    }
    let log = logging::start(&order.running.log).map_err(|error| usage(&chain(&error), ""))?;
    let config = Config::load(flags, environment)
        .map_err(|error| Failure { status: error.status(), ..usage(&chain(&error), "") })?;
    let key_path = config.agent_key_path();
    let api_key = config.authtoken.ok_or_else(|| Failure {
        status: ExitStatus::Authentication,
        happened: "there is no API key".to_owned(),
        advice: format!("Save yours: {HOW_TO_ADD}, or set ADIT_AUTHTOKEN."),
    })?;
    let server = config.server.ok_or_else(|| {
        let place = config.path.value.display();
        usage(
            "no server is named",
            &format!("Use --server, ADIT_SERVER, or a line in {place}: server = \"https://…\"."),
        )
    })?;
    let loaded = agent_key::load_or_create(&key_path).map_err(|error| usage(&chain(&error), ""))?;
    let mut builder = Agent::builder(server.value, api_key.value, order.upstream())
        .url(order.url.cloned())
        .port(order.port)
        .proxy_protocol(order.proxy_protocol.map(Into::into))
        .connections(order.running.connections)
        .retry(order.retry)
        .pooling(order.running.pool.pooling())
        .agent_key(loaded.key);
    if let Some(ca_file) = config.ca_file {
        let named_by = |error| usage(&format!("{} (named by {})", chain(&error), ca_file.source), "");
        builder = builder.ca_file(&ca_file.value).map_err(named_by)?;
    }
    if let Some((chain_file, key_file)) = order.certificate {
        builder = builder.certificate(chain_file, key_file).map_err(|error| usage(&chain(&error), ""))?;
    }
    let agent = builder.build().map_err(|error| broken(&chain(&error)))?;
    let warning = loaded
        .not_kept
        .map(|error| format!("{}: without --url the address changes at the next start", chain(&error)));
    Ok(Prepared { agent, warning, log })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|error| broken(&chain(&error)))
}

async fn serve(prepared: Prepared, screen: Screen) -> ExitStatus {
    // Before anything slow, so that no signal is missed.
    let signals = Signals::listen();
    let tasks = Tasks::new("adit");
    let Prepared { agent, warning, log: _log } = prepared;
    let (handle, events) = agent.start(&tasks);
    let mut printer = Printer::start(screen, events, warning);
    let (status, why) = match signals {
        Ok(signals) => until_end(handle, signals, &mut printer).await,
        Err(error) => (ExitStatus::Retryable, Some((chain(&error), String::new(), None))),
    };
    printer.finish(stopped(status, why)).await;
    status
}

/// What happened, what to do, the code.
type Why = (String, String, Option<String>);

async fn until_end(
    mut handle: Handle,
    mut signals: Signals,
    printer: &mut Printer,
) -> (ExitStatus, Option<Why>) {
    let (status, parting) = tokio::select! {
        outcome = handle.ended() => return explain(outcome),
        signal = signals.terminate() => match signal {
            Signal::Interrupt => (ExitStatus::Interrupted, Parting::Release),
            // From a service manager, which most often starts the next one.
            Signal::Terminate => (ExitStatus::Success, Parting::Return),
        },
        () = printer.left() => (ExitStatus::Success, Parting::Release),
    };
    handle.stop(parting);
    tokio::select! {
        _outcome = handle.ended() => {}
        // A second signal, or last words that do not get through: the end comes all the same.
        _signal = signals.terminate() => {}
        () = tokio::time::sleep(parting.takes_at_most()) => {}
    }
    (status, None)
}

fn explain(outcome: Outcome) -> (ExitStatus, Option<Why>) {
    match outcome {
        Outcome::Stopped => (ExitStatus::Success, None),
        Outcome::Refused(refusal) => (refusal.status, Some((refusal.message, refusal.advice, refusal.code))),
        Outcome::Failed(message) => (ExitStatus::Retryable, Some((message, String::new(), None))),
    }
}

fn stopped(status: ExitStatus, why: Option<Why>) -> Event {
    let (message, advice, code) = why.map_or((None, None, None), |(message, advice, code)| {
        (Some(message), Some(advice).filter(|advice| !advice.is_empty()), code)
    });
    Event::Stopped { exit_code: status.code(), message, advice, code }
}

fn usage(happened: &str, advice: &str) -> Failure {
    Failure { status: ExitStatus::Usage, happened: happened.to_owned(), advice: advice.to_owned() }
}

fn broken(happened: &str) -> Failure {
    Failure { status: ExitStatus::Retryable, happened: happened.to_owned(), advice: String::new() }
}

/// The thread that writes what happens: a terminal or pipe that takes nothing must not stop visitors.
struct Printer {
    last: Option<oneshot::Sender<Event>>,
    /// None once nobody reads any more.
    left: Option<oneshot::Receiver<()>>,
}

impl Printer {
    fn start(mut screen: Screen, mut events: Events, warning: Option<String>) -> Self {
        let (last, final_event) = oneshot::channel();
        let (leave, left) = oneshot::channel::<()>();
        thread::spawn(move || {
            // Dropped at the end, which `left` waits for.
            let _leave = leave;
            // `starting` comes first; then what should be known before anything else happens.
            let starting = events.next_blocking();
            let warning = warning.map(|message| Event::Warning { message });
            let begin = starting.into_iter().chain(warning);
            for event in begin.chain(std::iter::from_fn(|| events.next_blocking())) {
                if screen.show(&event).is_err() {
                    return;
                }
            }
            if let Ok(event) = final_event.blocking_recv() {
                drop(screen.show(&event));
            }
        });
        Self { last: Some(last), left: Some(left) }
    }

    /// Waits until nobody reads the output any more. Cancel safe.
    async fn left(&mut self) {
        if let Some(left) = &mut self.left {
            // The sender is only ever dropped.
            drop(left.await);
            self.left = None;
        }
    }

    /// Writes the last event, if the output takes it soon.
    async fn finish(mut self, event: Event) {
        if let Some(last) = self.last.take() {
            drop(last.send(event));
        }
        let flush: Duration = OUTPUT_FLUSH;
        if timeout(flush, self.left()).await.is_err() {
            tracing::debug!("the output takes nothing");
        }
    }
}
