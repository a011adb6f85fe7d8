//! Which host names exist, remembered for a moment, and asked for a few at a time: a flood of requests for unknown names
//! must not become a flood of questions to the directory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use adit_authority::{Directory, Unavailable};
use adit_domain::{EndpointKind, Hostname};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::limits::{EXISTS_DEADLINE, EXISTS_IN_FLIGHT_MAX, KNOWN_NAMES_AGE, KNOWN_NAMES_MAX};

/// What the directory says of a name: the kind of the endpoint that has it, if one has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Found(Option<EndpointKind>);

/// A bounded memory of answers.
pub(crate) struct KnownNames {
    answers: Mutex<HashMap<Hostname, (Found, Instant)>>,
    questions: Semaphore,
}

impl Default for KnownNames {
    fn default() -> Self {
        Self { answers: Mutex::default(), questions: Semaphore::new(EXISTS_IN_FLIGHT_MAX) }
    }
}

impl KnownNames {
    /// The kind of the endpoint with this name, served or not.
    pub(crate) async fn kind_of(
        &self,
        directory: &dyn Directory,
        hostname: &Hostname,
    ) -> Result<Option<EndpointKind>, Unavailable> {
        if let Some(Found(kind)) = self.recall(hostname, Instant::now()) {
            return Ok(kind);
        }
        let asked = async {
            let _turn = self.questions.acquire().await;
            directory.kind_of(hostname).await
        };
        let kind = timeout(EXISTS_DEADLINE, asked)
            .await
            .map_err(|_| Unavailable { reason: "no answer in time".to_owned() })??;
        self.remember(hostname.clone(), Found(kind), Instant::now());
        Ok(kind)
    }

    fn recall(&self, hostname: &Hostname, now: Instant) -> Option<Found> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, at) = answers.get(hostname)?;
        (now.duration_since(*at) < KNOWN_NAMES_AGE).then_some(*answer)
    }

    fn remember(&self, hostname: Hostname, answer: Found, now: Instant) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= KNOWN_NAMES_MAX {
            answers.clear();
        }
        answers.insert(hostname, (answer, now));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::atomic::Ordering;
    use tokio::time::Instant;

    use adit_domain::{EndpointKind, Hostname};
    use futures::future::join_all;

    use super::{Found, KnownNames};
    use crate::limits::{EXISTS_IN_FLIGHT_MAX, KNOWN_NAMES_AGE, KNOWN_NAMES_MAX};
    use crate::stub::Stub;

    #[tokio::test]
    async fn few_ask_at_a_time() {
        let (known, directory) = (KnownNames::default(), Stub::default());
        let names: Vec<_> = (0..3 * EXISTS_IN_FLIGHT_MAX)
            .map(|n| Hostname::parse(&format!("n{n}.example")).unwrap())
            .collect();
        let answers = join_all(names.iter().map(|name| known.kind_of(&directory, name))).await;
        assert!(answers.iter().all(|answer| *answer == Ok(None)));
        assert_eq!(directory.asking_max.load(Ordering::SeqCst), EXISTS_IN_FLIGHT_MAX);
    }

    #[test]
    fn answers_age() {
        let (known, now) = (KnownNames::default(), Instant::now());
        let name = Hostname::parse("a.example").unwrap();
        known.remember(name.clone(), Found(Some(EndpointKind::Http)), now);
        assert_eq!(known.recall(&name, now), Some(Found(Some(EndpointKind::Http))));
        assert_eq!(known.recall(&name, now + KNOWN_NAMES_AGE), None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let (known, now) = (KnownNames::default(), Instant::now());
        for n in 0..=KNOWN_NAMES_MAX {
            known.remember(Hostname::parse(&format!("n{n}.example")).unwrap(), Found(None), now);
            let size = known.answers.lock().unwrap().len();
            assert!(size <= KNOWN_NAMES_MAX);
            match n + 1 {
                n if n <= KNOWN_NAMES_MAX => assert_eq!(size, n),
                _ => assert_eq!(size, 1),
            }
        }
    }
}
