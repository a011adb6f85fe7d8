//! Which public ports a claim may get, and what it is told when it gets none.

use std::num::NonZeroU16;

use adit_authority::{Claim, ClaimError, RequestedName};
use adit_domain::{EndpointKind, PortRange, Timestamp};
use adit_store::limits::PORTS_PER_TENANT_MAX;
use adit_store::{PortError, PortOffer};

use super::unavailable;
use crate::limits::PORT_KEPT;
use crate::settings::Settings;

/// The ports to choose from; none for kinds without a port.
pub(super) fn offer(
    claim: &Claim,
    settings: &Settings,
    now: Timestamp,
) -> Result<Option<PortOffer>, ClaimError> {
    let Some(range) = range(claim.kind, settings)? else { return Ok(None) };
    if claim.port.is_some_and(|port| !range.contains(port)) {
        return Err(ClaimError::PortNotOffered { range });
    }
    let start = start(range).map_err(unavailable)?;
    Ok(Some(PortOffer { range, wish: claim.port, start, kept_until: now.plus(PORT_KEPT) }))
}

fn range(kind: EndpointKind, settings: &Settings) -> Result<Option<PortRange>, ClaimError> {
    match kind {
        EndpointKind::Http | EndpointKind::Tls => Ok(None),
        EndpointKind::Tcp => offered(kind, settings.tcp_ports),
        EndpointKind::Udp => offered(kind, settings.udp_ports),
    }
}

fn offered(kind: EndpointKind, ports: Option<PortRange>) -> Result<Option<PortRange>, ClaimError> {
    ports.map(Some).ok_or(ClaimError::KindNotOffered { kind })
}

/// A port of the range, at random.
fn start(range: PortRange) -> Result<NonZeroU16, getrandom::Error> {
    let (first, last) = (range.first().get(), range.last().get());
    let ports = u32::from(last - first) + 1;
    let offset = getrandom::u32()? % ports;
    let port = u16::try_from(u32::from(first) + offset).ok().and_then(NonZeroU16::new);
    Ok(port.unwrap_or(range.first()))
}

/// The port, if it says alone which endpoint is meant. The domain itself names no endpoint, but stands in URLs in
/// development.
pub(super) fn names_endpoint(claim: &Claim, settings: &Settings) -> Option<NonZeroU16> {
    let named = match &claim.name {
        RequestedName::Hostname(hostname) => *hostname != settings.domain,
        RequestedName::Default { .. } => false,
    };
    claim.port.filter(|_| claim.kind.has_port() && !named)
}

/// What an agent is told.
pub(super) fn refusal(error: PortError) -> ClaimError {
    match error {
        // Whether a port is on offer was asked before.
        PortError::NotYours | PortError::OutOfRange(_) => ClaimError::NotYours,
        PortError::HasAnother(port) => ClaimError::OtherPort { port },
        PortError::NoneFree => ClaimError::NoPortFree,
        PortError::LimitReached => ClaimError::PortLimitReached { limit: PORTS_PER_TENANT_MAX },
        PortError::Store(error) => unavailable(error).into(),
    }
}
