//! Claims of one session that wait for the directory.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use adit_authority::{Claim, ClaimError, Claimed, RequestedName, Unavailable};
use adit_domain::Pooling;
use adit_domain::id::InstanceId;
use adit_wire::capability::Capability;
use adit_wire::control::{Bind, BindRefusal, BindRefused, Frame};
use adit_wire::limits::MESSAGE_BYTES_MAX;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::timeout;

use crate::limits::{CLAIM_DEADLINE, CLAIMS_IN_FLIGHT_MAX, RETRY_AFTER};
use crate::manner::Manner;
use crate::node::{Node, millis};

/// As many claims wait as may.
pub(super) struct Busy;

/// What the directory said about one bind.
pub(super) struct Outcome {
    pub(super) request: u32,
    pub(super) manner: Manner,
    /// How the agent shares the endpoint, if it does.
    pub(super) pooling: Option<Pooling>,
    pub(super) result: Result<Claimed, ClaimError>,
}

/// The claims in flight. They run inside the session's own task: when the session ends, they end.
#[derive(Default)]
pub(super) struct Claims {
    waiting: FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    /// What was said to those that were answered while the session had no time for them.
    answered: VecDeque<Outcome>,
}

impl Claims {
    /// Starts a claim, unless as many as may be are waiting already.
    pub(super) fn start(
        &mut self,
        node: &Arc<Node>,
        capability: &Capability,
        instance: InstanceId,
        (bind, manner): (Bind, Manner),
    ) -> Result<(), Busy> {
        let (request, pooling) = (bind.request, bind.pooling);
        if self.waiting() >= CLAIMS_IN_FLIGHT_MAX {
            return Err(Busy);
        }
        let claim = claim_of(node, capability, instance, bind);
        let node = Arc::clone(node);
        self.waiting.push(Box::pin(async move {
            let result = granted(&node, claim).await;
            Outcome { request, manner, pooling, result }
        }));
        Ok(())
    }

    /// How many claims wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len().saturating_add(self.answered.len())
    }

    /// Lets them go on, without an end.
    pub(super) async fn advance(&mut self) -> Infallible {
        loop {
            let outcome = self.answer().await;
            self.answered.push_back(outcome);
        }
    }

    /// The next outcome; waits for ever while no claim is in flight.
    pub(super) async fn next(&mut self) -> Outcome {
        match self.answered.pop_front() {
            Some(outcome) => outcome,
            None => self.answer().await,
        }
    }

    async fn answer(&mut self) -> Outcome {
        match self.waiting.next().await {
            Some(outcome) => outcome,
            None => std::future::pending().await,
        }
    }
}

/// What the directory says; while it is away, what it said last to who comes back for it.
async fn granted(node: &Node, claim: Claim) -> Result<Claimed, ClaimError> {
    let result = timeout(CLAIM_DEADLINE, node.directory.claim(claim.clone())).await;
    let result = result.unwrap_or_else(|_| {
        Err(ClaimError::Unavailable(Unavailable { reason: "no answer in time".to_owned() }))
    });
    match result {
        Ok(claimed) => {
            node.resumable.granted(&claimed, &claim);
            Ok(claimed)
        }
        Err(ClaimError::Unavailable(error)) => {
            let claimed = node.resumable.resume(&claim).ok_or(ClaimError::Unavailable(error.clone()))?;
            let Claimed { hostname, epoch, .. } = &claimed;
            tracing::warn!(%error, %hostname, %epoch, "an agent resumes what it held: the directory is away");
            Ok(claimed)
        }
        Err(error) => Err(error),
    }
}

fn claim_of(node: &Node, capability: &Capability, instance: InstanceId, bind: Bind) -> Claim {
    Claim {
        tenant: capability.tenant,
        api_key: capability.api_key,
        rights: capability.rights,
        name: match bind.hostname {
            Some(hostname) => RequestedName::Hostname(hostname),
            None => RequestedName::Default { agent: capability.agent_public_key, label: bind.label },
        },
        // Means nothing for the others.
        port: bind.port.filter(|_| bind.kind.has_port()),
        kind: bind.kind,
        // The signed one, not the one that the frame repeats.
        instance,
        prior_epoch: bind.prior_epoch,
        pooled: bind.pooling.is_some(),
        node: node.id,
    }
}

/// The frame that refuses a bind. A message that is too long for the wire would end the session, so it is cut.
pub(super) fn refused(request: u32, reason: BindRefusal, message: &str) -> Frame {
    let retry_after_ms = if reason.is_permanent() { 0 } else { millis(RETRY_AFTER) };
    let message = message.get(..message.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or(message).to_owned();
    Frame::BindRefused(BindRefused { request, reason, retry_after_ms, message })
}

/// The frame that tells an agent why its claim failed.
pub(super) fn refusal_of(request: u32, error: &ClaimError) -> Frame {
    let reason = match error {
        ClaimError::NotYours => BindRefusal::NotYours,
        ClaimError::NameInvalid { .. } => BindRefusal::NameInvalid,
        ClaimError::OtherPort { .. } => BindRefusal::NameTaken,
        ClaimError::KindNotOffered { .. } | ClaimError::PortNotOffered { .. } => BindRefusal::NotOffered,
        ClaimError::Replaced => BindRefusal::Replaced,
        ClaimError::LimitReached { .. } | ClaimError::PortLimitReached { .. } => BindRefusal::LimitReached,
        ClaimError::RightMissing | ClaimError::Revoked => BindRefusal::RightMissing,
        ClaimError::Unavailable(_) | ClaimError::NoPortFree => BindRefusal::TryLater,
    };
    match error {
        // Its reason is for the operator's log: it may hold anything that a database says.
        ClaimError::Unavailable(_) => refused(request, reason, "the control plane is not available"),
        error => refused(request, reason, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use adit_authority::{ClaimError, Unavailable};
    use adit_domain::Hostname;
    use adit_wire::control::{Frame, encode};

    use super::refusal_of;

    #[test]
    fn every_refusal_fits_on_the_wire_and_tells_nothing_of_the_database() {
        let label = "x".repeat(61);
        let domain = Hostname::parse(&[label.as_str(); 4].join(".")).unwrap();
        let reason = "no connection to db.internal:\n".repeat(100);
        for error in [
            ClaimError::NameInvalid { domain },
            ClaimError::Unavailable(Unavailable { reason }),
            ClaimError::Replaced,
        ] {
            let frame = refusal_of(7, &error);
            encode(&frame, &mut Vec::new()).unwrap();
            assert!(matches!(frame, Frame::BindRefused(refused) if !refused.message.contains("internal")));
        }
    }
}
