//! What the end of a try or of a session means for the next one.

use std::error::Error;
use std::time::Duration;

use adit_net::dial::DialError;

use crate::event::Reason;
use crate::exit::ExitStatus;

/// Every way in which a try, or the session that came of it, ends without being asked to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The next try may go better.
    Again(Setback),
    /// It would not: the agent ends.
    Over(Refusal),
}

/// Something that passes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Setback {
    /// A stable word for programs.
    pub(crate) reason: Reason,
    /// What happened, for people.
    pub(crate) message: String,
    /// The stable code of the refusal, if it has one.
    pub(crate) code: Option<String>,
    /// What the server asked for; zero if nothing.
    pub(crate) retry_after: Duration,
}

/// Something that does not pass by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// How the program should end: [`ExitStatus::Authentication`] or [`ExitStatus::Refused`].
    pub status: ExitStatus,
    /// What happened, for people.
    pub message: String,
    /// What to do about it, for people.
    pub advice: String,
    /// The stable code of the refusal, if it has one.
    pub code: Option<String>,
    /// Whether another agent has taken over.
    pub is_replaced: bool,
}

impl Setback {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), code: None, retry_after: Duration::ZERO }
    }

    /// The capability, or the key that it was made from, was revoked. Which of the two the server knows: it is asked
    /// for a new one at once, and says no for good if it was the key.
    pub(crate) fn revoked() -> Self {
        Self::new(Reason::CapabilityRefused, "the capability was revoked")
    }

    pub(crate) fn retry_after(self, retry_after: Duration) -> Self {
        Self { retry_after, ..self }
    }
}

impl Refusal {
    pub(crate) fn new(status: ExitStatus, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { status, message: message.into(), advice: advice.into(), code: None, is_replaced: false }
    }

    /// Another agent holds the endpoint now. This one does not fight back.
    pub(crate) fn replaced() -> Self {
        let message = "another agent took over this address, so this one has stopped";
        let advice = "Stop the other agent to use it here, or ask for another address with --url NAME.";
        Self { is_replaced: true, ..Self::new(ExitStatus::Refused, message, advice) }
    }

    /// The API key is not valid, or not any more.
    pub(crate) fn key_rejected() -> Self {
        let message = "the API key is not valid";
        let advice = "Create a new one, and save it: printf %s \"$KEY\" | adit config add-authtoken.";
        Self::new(ExitStatus::Authentication, message, advice)
    }
}

impl From<Setback> for Verdict {
    fn from(setback: Setback) -> Self {
        Self::Again(setback)
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        Self::Over(refusal)
    }
}

impl From<DialError> for Verdict {
    fn from(error: DialError) -> Self {
        Setback::new(Reason::Unreachable, chain(&error)).into()
    }
}

/// An error and what is behind it, in one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
