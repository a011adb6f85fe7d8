//! Events as people see them, or as programs read them.

use adit_agent::{Event, UpstreamTrouble};
use adit_domain::Timestamp;
use adit_process::clock::wall_micros;
use serde::Serialize;

use crate::console::{Closed, Console, Tone};

/// Joins words that must stay in one line.
const TIE: char = '\u{a0}';

/// How events are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Text.
    People,
    /// JSON, one event a line.
    Programs,
    /// The log on standard output says it all.
    LogReaders,
}

/// Shows the events of one agent.
pub struct Screen {
    audience: Audience,
    console: Console,
    /// What the block says now.
    url: Option<String>,
    trouble: Option<String>,
}

/// A line for programs.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

impl Screen {
    pub const fn new(audience: Audience, console: Console) -> Self {
        Self { audience, console, url: None, trouble: None }
    }

    /// Shows one event.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub fn show(&mut self, event: &Event) -> Result<(), Closed> {
        match self.audience {
            Audience::People => self.tell(event),
            Audience::Programs => self.print(event),
            Audience::LogReaders => {
                self.tell_end(event);
                Ok(())
            }
        }
    }

    fn print(&mut self, event: &Event) -> Result<(), Closed> {
        let time = Timestamp::from_micros(wall_micros()).to_string();
        let line = serde_json::to_string(&Line { time, event }).map_err(|_| Closed)?;
        self.console.line(&line)?;
        self.tell_end(event);
        Ok(())
    }

    fn tell(&mut self, event: &Event) -> Result<(), Closed> {
        match event {
            Event::UrlAssigned { url, upstream, .. } => self.online(url, upstream),
            Event::Disconnected { message, retry_in_ms, .. } => self.offline(message, *retry_in_ms),
            Event::UpstreamRefused { reason, message, .. } => {
                let advice = match reason {
                    UpstreamTrouble::Refused => "Start your app, or choose another port.",
                    UpstreamTrouble::TimedOut => {
                        "Check that your app is not overloaded and the address is right."
                    }
                    UpstreamTrouble::Tls => {
                        "Check the app's certificate, or use http:// if it speaks no TLS."
                    }
                };
                self.console.trouble(Tone::Warning, "warning", message, advice);
                Ok(())
            }
            Event::Warning { message } => {
                self.console.trouble(Tone::Warning, "warning", message, "");
                Ok(())
            }
            Event::Stopped { .. } => {
                self.tell_end(event);
                Ok(())
            }
            Event::Starting { .. }
            | Event::Connecting { .. }
            | Event::Connected { .. }
            | Event::Connections { .. }
            | Event::Replaced { .. } => Ok(()),
        }
    }

    fn online(&mut self, url: &str, upstream: &str) -> Result<(), Closed> {
        self.trouble = None;
        self.console.field("Session Status", "online", Tone::Good)?;
        if self.url.as_deref() == Some(url) {
            return Ok(());
        }
        self.url = Some(url.to_owned());
        self.console.field("Version", env!("CARGO_PKG_VERSION"), Tone::Plain)?;
        self.console.field("Forwarding", &format!("{url} ->{TIE}{upstream}"), Tone::Plain)
    }

    /// Said once for as long as the trouble stays the same: an agent may be offline for a night.
    fn offline(&mut self, message: &str, retry_in_ms: u64) -> Result<(), Closed> {
        if self.trouble.as_deref() == Some(message) {
            return Ok(());
        }
        self.trouble = Some(message.to_owned());
        let seconds = retry_in_ms / 1000;
        let tenths = retry_in_ms / 100 % 10;
        let text = format!("reconnecting: {message} (next try in {seconds}.{tenths}{TIE}s)");
        self.console.field("Session Status", &text, Tone::Warning)
    }

    /// Why the agent ended belongs on standard error, whoever reads standard output.
    fn tell_end(&mut self, event: &Event) {
        if let Event::Stopped { message: Some(message), advice, code, .. } = event {
            let code = code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
            let advice = advice.as_deref().unwrap_or_default();
            self.console.trouble(Tone::Bad, "error", &format!("{message}{code}"), advice);
        }
    }
}
