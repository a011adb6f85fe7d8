//! The table of codes: every refusal that a person or program can meet, in one place.

use std::fmt;

/// Whose side a failure is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The one who sent the request.
    Visitor,
    /// The one who runs the service behind the endpoint.
    Owner,
    /// This installation of Adit.
    Adit,
}

impl Side {
    /// The word for programs; it never changes.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::Owner => "owner",
            Self::Adit => "adit",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $status:literal, $side:ident, $title:literal, $advice:literal;)+) => {
        /// A stable error code. Its number never changes its meaning; numbers of retired codes stay unused.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// Every code, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The number after `ADIT-`.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $number,)+ }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// Whose side it is on.
            #[must_use]
            pub const fn side(self) -> Side {
                match self { $(Self::$name => Side::$side,)+ }
            }

            /// What happened, in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// What to do about it.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)+ }
            }
        }
    };
}

codes! {
    /// The request cannot be understood, or could be understood in two ways.
    BadRequest = 1000, 400, Visitor, "The request is malformed",
        "Send one valid Host, and a length that is not given twice.";
    /// CONNECT and TRACE are not served.
    MethodNotAllowed = 1001, 405, Visitor, "This method is not allowed",
        "CONNECT and TRACE are not carried. Use another method.";
    /// An `Expect` header other than `100-continue` (RFC 9110, section 10.1.1).
    ExpectationFailed = 1002, 417, Visitor, "The expectation cannot be met",
        "Only `Expect: 100-continue` is known. Leave the header out.";
    /// The request is for a host that this connection was not opened for (RFC 9110, section 15.5.20).
    Misdirected = 1003, 421, Visitor, "This connection is for another host",
        "Open a new connection for this host.";
    /// The request's body is larger than this service takes.
    BodyTooLarge = 1004, 413, Visitor, "The request body is too large",
        "Send a smaller body.";
    /// The request target is longer than this service takes.
    TargetTooLong = 1005, 414, Visitor, "The request target is too long",
        "Send a shorter path and query.";
    /// The request's body made no progress in time.
    RequestTimeout = 1006, 408, Visitor, "The request did not arrive in time",
        "Send the whole request without long pauses.";
    /// The request has too many header fields, or too large ones (RFC 6585, section 5).
    HeadTooLarge = 1007, 431, Visitor, "The request has too many header fields",
        "Send at most 100 fields, of at most 32 KiB together.";
    /// The body of a request to the API is not what its path takes.
    BodyMalformed = 1008, 400, Visitor, "The request body is malformed",
        "Send the JSON object that this path takes, with no other fields.";
    /// Too many requests of this kind came from the same place.
    TooManyRequests = 1009, 429, Visitor, "Too many requests",
        "Try again after the time in `retry-after`.";
    /// WebSocket is the only protocol carried over HTTP/2, and an upstream that speaks HTTP/2 cannot change its protocol.
    ProtocolNotCarried = 1010, 501, Visitor, "This protocol is not carried",
        "Over HTTP/2 only WebSocket is, and only to a service that speaks HTTP/1.1.";
    /// An agent exchanges its API key where an endpoint is: what it was told is the server is none.
    NotTheServer = 1011, 421, Visitor, "This address is an endpoint, not the server",
        "Give the agent the server's own address, with `--server`. The key went no further than this node.";
    /// No endpoint has this host name.
    EndpointUnknown = 2000, 404, Visitor, "No endpoint has this address",
        "Check the address. If it is yours, start the agent with `adit http PORT --url NAME`.";
    /// The endpoint exists, but no agent serves it now.
    AgentOffline = 2001, 503, Owner, "The agent of this endpoint is offline",
        "If it is yours, start the agent again. Nothing has to be set up anew.";
    /// The agent is there, but its upstream refused the connection.
    UpstreamRefused = 2002, 502, Owner, "The service behind this endpoint refused the connection",
        "If it is yours, start the service on the port that the agent forwards to, or start the agent with another port.";
    /// The agent is there, but its upstream did not accept the connection in time.
    UpstreamConnectTimeout = 2003, 504, Owner, "The service behind this endpoint did not accept the connection in time",
        "If it is yours, check that the service is not overloaded and that the agent forwards to the right address.";
    /// The upstream sent no response in time.
    UpstreamResponseTimeout = 2004, 504, Owner, "The service behind this endpoint did not answer in time",
        "If it is yours, look at why the service takes so long for this request.";
    /// The upstream broke off before its response, or answered with something that is not HTTP.
    UpstreamBroken = 2005, 502, Owner, "The service behind this endpoint broke off the exchange",
        "If it is yours, look at the service's log. It closed the connection or did not answer in HTTP.";
    /// The connection to the agent was lost before a response arrived.
    AgentLost = 2006, 502, Owner, "The connection to the agent was lost",
        "Try again. The agent reconnects by itself.";
    /// As many requests are in flight, or connections open, as may be.
    EndpointBusy = 2007, 503, Owner, "This endpoint is as busy as it may be",
        "Try again in a moment.";
    /// More requests arrive in a second than the tenant's plan allows.
    EndpointFlooded = 2008, 429, Owner, "More requests arrive at this endpoint than its plan allows",
        "Try again after the time in `retry-after`. If it is yours, ask the operator for a larger plan.";
    /// The node is leaving and takes no new requests.
    NodeDraining = 3000, 503, Adit, "This node is shutting down",
        "Try again: another node, or this one after its restart, will serve it.";
    /// Something failed inside Adit.
    Internal = 3001, 500, Adit, "The request could not be handled",
        "Try again. If it happens again, report it with the request id.";
    /// The store of the control plane cannot be reached.
    ControlPlaneUnavailable = 3002, 503, Adit, "The control plane is not available",
        "Try again in a moment. Tunnels that are up stay up.";
    /// Memory or descriptors of the node run out.
    NodeOverloaded = 3003, 503, Adit, "This node has no room for new requests",
        "Try again in a moment. What is being carried goes on.";
    /// No API key was sent, or it is not a key.
    ApiKeyMissing = 4000, 401, Visitor, "An API key is required",
        "Send `Authorization: Bearer adit_…`. Create a key with `aditd admin apikey create`.";
    /// The API key is unknown, expired or revoked, or its tenant is suspended.
    ApiKeyRejected = 4001, 401, Visitor, "The API key is not valid",
        "It may have been revoked or mistyped. Create a new one, and save it with `adit config add-authtoken`.";
    /// The API has no such path.
    NotFound = 4004, 404, Visitor, "There is nothing at this address",
        "Check the path.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ADIT-{:04}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn numbers_grow_and_statuses_are_errors() {
        let numbers: Vec<_> = Code::ALL.iter().map(|code| code.number()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status())));
    }

    #[test]
    fn the_page_has_just_these_codes() {
        let page = include_str!("../../../docs/errors.md");
        let listed: Vec<_> = page.lines().filter(|line| line.starts_with("| `ADIT-")).collect();
        let row = |code: &Code| {
            let (status, side) = (code.status(), code.side().word());
            format!("| `{code}` | {status} | {side} | {} | {} |", code.title(), code.advice())
        };
        assert_eq!(listed, Code::ALL.iter().map(row).collect::<Vec<_>>());
    }

    #[test]
    fn texts_are_sentences_without_apology() {
        for code in Code::ALL {
            assert!(code.advice().ends_with('.'), "{code}");
            assert!(!code.title().ends_with('.'), "{code}");
            let text = format!("{} {}", code.title(), code.advice()).to_lowercase();
            for word in ["please", "oops", "sorry", "went wrong"] {
                assert!(!text.contains(word), "{code} says {word}");
            }
        }
    }
}
