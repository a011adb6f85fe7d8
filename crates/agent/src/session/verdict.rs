//! What the end of a session means for the next one.

use std::time::Duration;

use adit_mux::CloseReason;
use adit_wire::control::{BindRefusal, BindRefused, GoodbyeReason, UnbindReason};

use super::{BindError, Ended};
use crate::event::Reason;
use crate::exit::ExitStatus;
use crate::setback::{Refusal, Setback, Verdict, chain};

impl BindError {
    /// Whether nothing but a new capability helps.
    pub(crate) const fn wants_new_capability(&self) -> bool {
        matches!(self, Self::Ended(ended) if ended.wants_new_capability())
    }

    /// What it means for the next try.
    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Self::Refused(refused) => bind_refused(refused),
            Self::Ended(ended) => ended.verdict(),
            Self::Deadline => {
                Setback::new(Reason::Unavailable, "the node did not answer in time which address is free")
                    .into()
            }
        }
    }
}

impl Ended {
    /// Whether nothing but a new capability helps.
    pub(crate) const fn wants_new_capability(&self) -> bool {
        matches!(self, Self::Goodbye { reason, .. } if reason.wants_new_capability())
    }

    /// What it means for the next try.
    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Self::Closed(reason) => closed(&reason).into(),
            Self::Send(error) => {
                Setback::new(Reason::ConnectionLost, format!("the connection was lost: {}", chain(&error)))
                    .into()
            }
            Self::Goodbye { reason, retry_after } => said_goodbye(reason, retry_after),
            Self::Unbound(reason) => unbound(reason),
        }
    }
}

fn closed(reason: &CloseReason) -> Setback {
    match reason {
        CloseReason::Violation(_) | CloseReason::ControlInvalid(_) | CloseReason::PeerRefused(_) => {
            Setback::new(Reason::Protocol, format!("the connection was given up: {reason}"))
        }
        _ => Setback::new(Reason::ConnectionLost, format!("the connection was lost: {reason}")),
    }
}

fn said_goodbye(reason: GoodbyeReason, retry_after: Duration) -> Verdict {
    let (reason, message) = match reason {
        GoodbyeReason::Revoked => return Setback::revoked().into(),
        GoodbyeReason::Draining => (Reason::Draining, "the node is shutting down".to_owned()),
        GoodbyeReason::WornOut => {
            (Reason::WornOut, "the connection has carried as much as one can".to_owned())
        }
        GoodbyeReason::CapabilityExpired => {
            (Reason::CapabilityRefused, "the capability has expired".to_owned())
        }
        GoodbyeReason::Overloaded => (Reason::Unavailable, "the node has no room now".to_owned()),
        GoodbyeReason::Protocol => (Reason::Protocol, "the node did not understand the agent".to_owned()),
        other => (Reason::ConnectionLost, format!("the node ended the session ({other})")),
    };
    Setback::new(reason, message).retry_after(retry_after).into()
}

fn unbound(reason: UnbindReason) -> Verdict {
    let (message, advice) = match reason {
        UnbindReason::Replaced => return Refusal::replaced().into(),
        UnbindReason::Revoked => (
            "the right to serve this address was taken away",
            "Ask whoever manages the tenant's API keys, or use another key.",
        ),
        UnbindReason::EndpointRemoved => {
            ("the address was removed", "Start the agent again to get another one.")
        }
        UnbindReason::AgentAsked | UnbindReason::AgentReturns | UnbindReason::Unknown(_) => {
            let message = format!("the node ended the binding ({reason})");
            return Setback::new(Reason::ConnectionLost, message).into();
        }
    };
    Refusal::new(ExitStatus::Refused, message, advice).into()
}

fn bind_refused(refused: BindRefused) -> Verdict {
    let retry_after = Duration::from_millis(refused.retry_after_ms.into());
    let (usual, advice) = match refused.reason {
        BindRefusal::Replaced => return Refusal::replaced().into(),
        BindRefusal::NotYours => {
            ("this address is not available", "Choose another one, with --url NAME or --remote-port PORT.")
        }
        BindRefusal::NameTaken => {
            ("this address is in use for something else", "Choose another name: --url NAME.")
        }
        BindRefusal::NameInvalid => (
            "this name cannot be an address here",
            "Choose a name of letters, digits and hyphens: --url NAME.",
        ),
        BindRefusal::LimitReached => (
            "the tenant has as many addresses as its plan allows",
            "Stop an agent or remove an endpoint that is not needed, or choose a larger plan.",
        ),
        BindRefusal::RightMissing => {
            ("the API key may not do this", "Use a key with the right to bind this address.")
        }
        BindRefusal::NotOffered => (
            "this server does not offer what was asked for",
            "Ask for something else, or ask whoever runs the server to offer it.",
        ),
        BindRefusal::TryLater | BindRefusal::Unknown(_) => {
            let message = said(refused.message, "the address cannot be bound now");
            return Setback::new(Reason::BindRefused, message).retry_after(retry_after).into();
        }
    };
    Refusal::new(ExitStatus::Refused, said(refused.message, usual), advice).into()
}

/// The node knows more than this agent does; if it says nothing, the usual.
fn said(message: String, usual: &str) -> String {
    if message.is_empty() { usual.to_owned() } else { message }
}
