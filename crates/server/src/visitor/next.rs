//! What becomes of a request that got no response: the rules as one table.

/// How far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// No stream was opened for it, or the agent does not hold the endpoint any more: no upstream saw any of it.
    Unopened,
    /// As many streams are open as may be.
    NoRoom,
    /// The agent says that its upstream refused the connection, so that it saw nothing.
    Refused,
    /// The agent says that its upstream did not take the connection in time, so that it saw nothing.
    TimedOut,
    /// The connection ended before a byte of it was written.
    Unsent,
    /// Anything else without a byte of the response: the upstream may have acted on it.
    Unknown,
    /// The response had begun.
    Answering,
    /// Whatever happened, sending it again does not help: the visitor's own fault, a deadline, no room.
    Final,
}

/// What else decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// What was read of its body is still there.
    pub(super) body: Kept,
    /// Whether sending it twice does no harm.
    pub(super) repeat: Repeat,
    /// Who else could take it.
    pub(super) others: Others,
    /// The upstream of this endpoint.
    pub(super) upstream: Seen,
    /// How long it has been tried.
    pub(super) time: Time,
}

/// A request's body, as far as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Whole,
    /// Part of it went out when the agent had its upstream, and is gone.
    Spent,
}

/// Whether a request may go out although it may have been acted on (RFC 9110, section 9.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// GET, HEAD or OPTIONS, without body or upgrade.
    Once,
    /// The same, and it has been sent again already.
    Done,
    /// Anything else, and whatever the agent wants never sent again.
    Never,
}

/// Tunnels of the endpoint that could do better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    There,
    None,
}

/// Whether a visitor who has waited since the first failure may wait longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    Left,
    Up,
}

/// When an upstream answered last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// A moment ago: it is being restarted.
    Lately,
    NotLately,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Send it again, without a wait.
    Again,
    /// Wait for an agent to bind the endpoint, then send it again.
    AwaitAgent,
    /// Wait for the upstream to take connections, then send it again.
    AwaitUpstream,
    /// Tell the visitor what happened.
    Answer,
}

/// | delivery | and | next |
/// | --- | --- | --- |
/// | anything | its body is not whole any more, or time is up | answer |
/// | unopened | | wait for an agent; one that is there will do |
/// | no room, refused, timed out | another tunnel is there | again |
/// | refused | the upstream answered lately | wait for the upstream |
/// | no room, refused, timed out | else | answer |
/// | unsent | | again |
/// | unknown | safe, and not repeated yet | wait for an agent; the same will do if it lives |
/// | unknown | else | answer |
/// | answering, final | | answer |
pub(super) const fn what_next(delivery: Delivery, facts: Facts) -> Next {
    match (delivery, facts) {
        (Delivery::Answering | Delivery::Final, _)
        | (_, Facts { body: Kept::Spent, .. } | Facts { time: Time::Up, .. }) => Next::Answer,
        (Delivery::Unsent, _)
        | (Delivery::NoRoom | Delivery::Refused | Delivery::TimedOut, Facts { others: Others::There, .. }) => {
            Next::Again
        }
        (Delivery::Unopened, _) | (Delivery::Unknown, Facts { repeat: Repeat::Once, .. }) => Next::AwaitAgent,
        (Delivery::Refused, Facts { upstream: Seen::Lately, .. }) => Next::AwaitUpstream,
        (Delivery::NoRoom | Delivery::Refused | Delivery::TimedOut | Delivery::Unknown, _) => Next::Answer,
    }
}

#[cfg(test)]
mod tests {
    use super::{Delivery, Facts, Kept, Next, Others, Repeat, Seen, Time, what_next};

    /// Every combination once, against rules written the other way round: what must never, and what must always.
    #[test]
    fn the_whole_table() {
        use Delivery::{Answering, Final, NoRoom, Refused, TimedOut, Unknown, Unopened, Unsent};
        let mut cases = 0;
        for delivery in [Unopened, NoRoom, Refused, TimedOut, Unsent, Unknown, Answering, Final] {
            for body in [Kept::Whole, Kept::Spent] {
                for repeat in [Repeat::Once, Repeat::Done, Repeat::Never] {
                    for others in [Others::There, Others::None] {
                        for upstream in [Seen::Lately, Seen::NotLately] {
                            for time in [Time::Left, Time::Up] {
                                let facts = Facts { body, repeat, others, upstream, time };
                                check(delivery, facts, what_next(delivery, facts));
                                cases += 1;
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(cases, 8 * 2 * 3 * 2 * 2 * 2);
    }

    fn check(delivery: Delivery, facts: Facts, next: Next) {
        let case = format!("{delivery:?} {facts:?}");
        let goes_on = next != Next::Answer;
        let is_undelivered = matches!(
            delivery,
            Delivery::Unopened | Delivery::NoRoom | Delivery::Refused | Delivery::TimedOut | Delivery::Unsent
        );
        if goes_on {
            assert_eq!((facts.body, facts.time), (Kept::Whole, Time::Left), "{case}");
            assert!(
                is_undelivered || (delivery, facts.repeat) == (Delivery::Unknown, Repeat::Once),
                "{case}"
            );
        }
        if (facts.body, facts.time) == (Kept::Whole, Time::Left) {
            let must_go_on = match delivery {
                Delivery::Unopened | Delivery::Unsent => true,
                Delivery::Refused => facts.others == Others::There || facts.upstream == Seen::Lately,
                Delivery::NoRoom | Delivery::TimedOut => facts.others == Others::There,
                Delivery::Unknown => facts.repeat == Repeat::Once,
                Delivery::Answering | Delivery::Final => false,
            };
            assert_eq!(goes_on, must_go_on, "{case}");
        }
        if next == Next::AwaitUpstream {
            assert_eq!((delivery, facts.others), (Delivery::Refused, Others::None), "{case}");
        }
    }

    #[test]
    fn the_cases_that_people_meet() {
        let post = Facts {
            body: Kept::Whole,
            repeat: Repeat::Never,
            others: Others::None,
            upstream: Seen::Lately,
            time: Time::Left,
        };
        let get = Facts { repeat: Repeat::Once, ..post };
        let cases = [
            ("POST, the agent is away", Delivery::Unopened, post, Next::AwaitAgent),
            ("POST, the upstream restarts", Delivery::Refused, post, Next::AwaitUpstream),
            (
                "POST, nothing listens",
                Delivery::Refused,
                Facts { upstream: Seen::NotLately, ..post },
                Next::Answer,
            ),
            ("POST, the agent was lost", Delivery::Unknown, post, Next::Answer),
            ("GET, the agent was lost", Delivery::Unknown, get, Next::AwaitAgent),
            (
                "GET, the agent was lost that wants nothing sent again",
                Delivery::Unknown,
                Facts { repeat: Repeat::Never, others: Others::There, ..get },
                Next::Answer,
            ),
            (
                "GET, nothing to be sent again, and no upstream saw it",
                Delivery::Unopened,
                Facts { repeat: Repeat::Never, ..get },
                Next::AwaitAgent,
            ),
            ("GET, lost twice", Delivery::Unknown, Facts { repeat: Repeat::Done, ..post }, Next::Answer),
            ("GET, half an answer", Delivery::Answering, get, Next::Answer),
            (
                "POST, refused by one of two",
                Delivery::Refused,
                Facts { others: Others::There, ..post },
                Next::Again,
            ),
            (
                "POST, one more of a pool that drops packets",
                Delivery::TimedOut,
                Facts { others: Others::There, time: Time::Up, ..post },
                Next::Answer,
            ),
            (
                "POST of which too much is gone",
                Delivery::Refused,
                Facts { body: Kept::Spent, ..post },
                Next::Answer,
            ),
        ];
        for (name, delivery, facts, next) in cases {
            assert_eq!(what_next(delivery, facts), next, "{name}");
        }
    }
}
