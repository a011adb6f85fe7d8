//! A request that got no response: how far it came, and what the visitor would be told.

use std::sync::Arc;

use adit_api::Code;
use adit_domain::EndpointKind;
use adit_mux::{Answer, OpenError, StreamError};
use adit_web::client::SendError;
use adit_wire::record::AbortCode;

use super::next::Delivery;
use crate::choice::Choice;
use crate::places::NoPlace;
use crate::routes::NoTunnel;
use crate::share::Refused;
use crate::trace::Trace;
use crate::tunnel::Tunnel;

/// Why there is no response.
pub(super) struct Failure {
    pub(super) delivery: Delivery,
    /// The honest answer, if it comes to that.
    pub(super) code: Code,
    /// What was to carry it.
    pub(super) tunnel: Option<Arc<Tunnel>>,
}

impl Failure {
    /// Nobody serves the endpoint now.
    pub(super) const fn no_agent() -> Self {
        Self { delivery: Delivery::Unopened, code: Code::AgentOffline, tunnel: None }
    }

    /// What has this name does not speak HTTP.
    pub(super) const fn not_http(kind: EndpointKind) -> Self {
        Self { delivery: Delivery::Final, code: found_by_http(kind), tunnel: None }
    }

    /// The upstream cannot change to another protocol.
    pub(super) const fn not_carried() -> Self {
        Self { delivery: Delivery::Final, code: Code::ProtocolNotCarried, tunnel: None }
    }

    /// The endpoint or its tenant has as much as it may.
    pub(super) const fn refused(refused: Refused) -> Self {
        let code = match refused {
            Refused::NoPlace(NoPlace) => Code::EndpointBusy,
            Refused::TooOften => Code::EndpointFlooded,
        };
        Self { delivery: Delivery::Final, code, tunnel: None }
    }

    /// Of those who serve it, none can take a request.
    pub(super) const fn no_tunnel(none: NoTunnel) -> Self {
        match none {
            NoTunnel::Gone => Self::no_agent(),
            NoTunnel::Full => Self { delivery: Delivery::NoRoom, code: Code::EndpointBusy, tunnel: None },
        }
    }

    /// No stream could be opened.
    pub(super) fn unopened(error: OpenError, tunnel: &Arc<Tunnel>) -> Self {
        let (delivery, code) = match error {
            OpenError::Full => (Delivery::NoRoom, Code::EndpointBusy),
            _ => (Delivery::Unopened, Code::AgentLost),
        };
        Self { delivery, code, tunnel: Some(Arc::clone(tunnel)) }
    }

    /// The agent did not say in time whether it has its upstream.
    pub(super) fn undialled(tunnel: &Arc<Tunnel>) -> Self {
        let (delivery, code) = (Delivery::Final, Code::UpstreamConnectTimeout);
        Self { delivery, code, tunnel: Some(Arc::clone(tunnel)) }
    }

    /// The agent says that its upstream took no connection.
    pub(super) fn not_reached(answer: Answer, tunnel: &Arc<Tunnel>) -> Self {
        let (delivery, code) = match answer {
            Answer::TimedOut => (Delivery::TimedOut, Code::UpstreamConnectTimeout),
            Answer::Refused | Answer::Dialled => (Delivery::Refused, Code::UpstreamRefused),
        };
        Self { delivery, code, tunnel: Some(Arc::clone(tunnel)) }
    }

    /// The agent owes an answer for so long that its link may be dead, and there is another way.
    pub(super) fn silent(tunnel: &Arc<Tunnel>) -> Self {
        let (delivery, code) = (Delivery::Unknown, Code::AgentLost);
        Self { delivery, code, tunnel: Some(Arc::clone(tunnel)) }
    }

    /// The response took too long.
    pub(super) const fn late() -> Self {
        Self { delivery: Delivery::Final, code: Code::UpstreamResponseTimeout, tunnel: None }
    }

    /// Leaves out of `choice` what need not be tried again.
    pub(super) fn narrow(&self, choice: &mut Choice) {
        let Some(tunnel) = &self.tunnel else { return };
        match self.delivery {
            Delivery::Refused | Delivery::TimedOut => choice.pass_member(tunnel),
            Delivery::Unopened | Delivery::NoRoom | Delivery::Unknown => choice.pass_session(tunnel),
            Delivery::Unsent | Delivery::Answering | Delivery::Final => {}
        }
    }

    /// The exchange failed.
    pub(super) fn of_exchange(error: &SendError, trace: &Trace, tunnel: &Arc<Tunnel>) -> Self {
        if let Some(code) = visitors_own(error) {
            return Self { delivery: Delivery::Final, code, tunnel: Some(Arc::clone(tunnel)) };
        }
        let delivery = match error {
            SendError::Unsent(..) => Delivery::Unsent,
            // What speaks first says nothing about the request with that.
            _ if trace.has_heard() && !tunnel.manner.speaks_first() => Delivery::Answering,
            _ => Delivery::Unknown,
        };
        Self::of_stream(trace, tunnel, delivery)
    }

    /// What HTTP could not use. What the agent said comes before what HTTP made of it.
    pub(super) fn of_stream(trace: &Trace, tunnel: &Arc<Tunnel>, otherwise: Delivery) -> Self {
        let (delivery, code) = match trace.failed() {
            Some(StreamError::NotReached(answer)) => return Self::not_reached(answer, tunnel),
            // Only as long as it has no upstream: what comes later does not make the upstream forget what it saw.
            Some(StreamError::Aborted(AbortCode::NotBound)) if !trace.is_dialled() => {
                (Delivery::Unopened, Code::AgentLost)
            }
            Some(StreamError::Aborted(AbortCode::Limit)) if !trace.is_dialled() => {
                (Delivery::NoRoom, Code::EndpointBusy)
            }
            _ if tunnel.session.is_closed() => (otherwise, Code::AgentLost),
            _ => (otherwise, Code::UpstreamBroken),
        };
        Self { delivery, code, tunnel: Some(Arc::clone(tunnel)) }
    }
}

/// The visitor's body can end the exchange too: by a pause that is too long, or by breaking off.
fn visitors_own(error: &SendError) -> Option<Code> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        match cause.downcast_ref::<adit_web::BodyError>() {
            Some(adit_web::BodyError::Idle) => return Some(Code::RequestTimeout),
            Some(adit_web::BodyError::Visitor(_)) => return Some(Code::BadRequest),
            _ => source = cause.source(),
        }
    }
    None
}

/// What is said to who asks by HTTP for an endpoint of this kind that cannot take the request.
pub(super) const fn found_by_http(kind: EndpointKind) -> Code {
    match kind {
        EndpointKind::Http => Code::AgentOffline,
        EndpointKind::Tcp | EndpointKind::Udp => Code::EndpointUnknown,
        // A browser that found both names in one certificate comes over the connection of the other one: it must open
        // one of its own.
        EndpointKind::Tls => Code::Misdirected,
    }
}
