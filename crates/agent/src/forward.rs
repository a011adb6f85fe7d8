//! One visitor's stream, from its arrival to the end of the connection to the upstream.

use std::sync::{Arc, Mutex, PoisonError};

use adit_domain::id::EndpointId;
use adit_domain::{Epoch, UpstreamProtocol};
use adit_mux::{Answer, Arrival, Flow, FlowEnd, FlowIdle, PumpEnd, PumpLimits, Stream, Traffic, pump};
use adit_net::dial::DialError;
use adit_net::io::{Guarded, Socket};
use adit_net::tls::HandshakeError;
use adit_wire::record::AbortCode;
use adit_wire::stream::{StreamHeader, StreamKind};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::access::{By, Counted, End, Record, Refusal};
use crate::certificate::Certificate;
use crate::event::{Emitter, Event, UpstreamTrouble};
use crate::limits::{FLOW_IDLE, FLOWS_MAX, UPSTREAM_EVENT_EVERY};
use crate::setback::chain;
use crate::terminate::{Place, Terminator};
use crate::upstream::dial::{Dialled, Dialler, UpstreamDialError, introduce};
use crate::upstream::socket::{UpstreamSocket, Word};

/// Takes streams to the upstream. Where that is was decided when the agent started; nothing in a stream changes it.
pub(crate) struct Forwarder {
    dialler: Dialler,
    /// Speaks TLS with visitors, for an upstream that does not.
    terminator: Option<Terminator>,
    emitter: Emitter,
    /// When the user was last told of the trouble that lasts.
    told: Mutex<Option<Instant>>,
    /// Places for flows of datagrams.
    flows: Semaphore,
}

impl Forwarder {
    pub(crate) const fn new(dialler: Dialler, terminator: Option<Terminator>, emitter: Emitter) -> Self {
        let (told, flows) = (Mutex::new(None), Semaphore::const_new(FLOWS_MAX));
        Self { dialler, terminator, emitter, told, flows }
    }

    /// What visitors are shown, if the agent speaks TLS with them.
    pub(crate) fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.terminator.as_ref().map(Terminator::certificate)
    }

    /// Serves one stream. Only one that is for `endpoint` in `epoch` reaches the upstream.
    pub(crate) async fn serve(&self, arrival: Arrival, endpoint: EndpointId, epoch: Epoch) {
        let Arrival { header, stream } = arrival;
        let mut record = Record::new(&header, self.dialler.upstream());
        if header.kind != self.kind() {
            record.ended(End::Refused(Refusal::Protocol));
            stream.abort(AbortCode::Protocol);
            return;
        }
        if (header.endpoint, header.epoch) != (endpoint, epoch) {
            tracing::debug!(request = %header.request, "a stream for a binding that is not in force");
            record.ended(End::Refused(Refusal::NotBound));
            stream.abort(AbortCode::NotBound);
            return;
        }
        if header.kind == StreamKind::Udp {
            return self.serve_flow(stream, &header, &mut record).await;
        }
        let terminating = match self.terminator.as_ref().map(|terminator| (terminator, terminator.place())) {
            Some((_, None)) => {
                tracing::debug!(request = %header.request, "too many TLS handshakes at once");
                record.ended(End::Refused(Refusal::Limit));
                stream.abort(AbortCode::Limit);
                return;
            }
            Some((terminator, Some(place))) => Some((terminator, place)),
            None => None,
        };
        let first = self.dialler.first_bytes(header.visitor);
        match self.dialler.dial(&first).await {
            Ok(dialled) => {
                self.reached();
                let end = match dialled {
                    Dialled::Plain(io) => carry(stream, io, &first, terminating, record.traffic()).await,
                    Dialled::Tls(io) => carry(stream, io, &[], terminating, record.traffic()).await,
                };
                record.ended(end);
            }
            Err(error) => {
                let (answer, event) = self.explain(&error);
                record.ended(answer);
                answer_no(stream, answer).await;
                self.tell(event);
            }
        }
    }

    /// What streams carry here: what the endpoint was bound for.
    fn kind(&self) -> StreamKind {
        self.dialler.upstream().kind().into()
    }

    /// Serves one flow of datagrams.
    async fn serve_flow(&self, mut stream: Stream, header: &StreamHeader, record: &mut Record<'_>) {
        let Ok(_place) = self.flows.try_acquire() else {
            tracing::debug!(request = %header.request, "as many flows as may be");
            record.ended(End::Refused(Refusal::Limit));
            return answer_no(stream, Answer::Refused).await;
        };
        let heard = |word| match word {
            Word::Answer => self.reached(),
            Word::Refusal => self.tell(self.nobody_listens()),
        };
        let upstream = self.dialler.upstream();
        let socket = match UpstreamSocket::connect(upstream.host(), upstream.port(), heard).await {
            Ok(socket) => socket,
            Err(error) => {
                let (answer, event) = self.explain(&error.into());
                record.ended(answer);
                answer_no(stream, answer).await;
                return self.tell(event);
            }
        };
        if stream.send_answer(Answer::Dialled).await.is_err() {
            return record.ended(End::Cut(By::Node));
        }
        let mut flow = Flow::new(stream, Counted::new(socket, record.traffic()));
        let end = flow.run(FlowIdle::of(FLOW_IDLE)).await;
        match end {
            FlowEnd::Idle => flow.abort(AbortCode::Idle),
            FlowEnd::Broken(_) => flow.abort(AbortCode::UpstreamBroken),
            // The node has ended it.
            _ => drop(flow),
        }
        record.ended(end);
    }

    fn nobody_listens(&self) -> Event {
        let upstream = self.dialler.upstream();
        let place = format!("{}:{}", crate::host_port::in_url(upstream.host()), upstream.port());
        let message = format!("nothing takes UDP on {place}");
        Event::UpstreamRefused { upstream: upstream.to_string(), reason: UpstreamTrouble::Refused, message }
    }

    fn explain(&self, error: &UpstreamDialError) -> (Answer, Event) {
        let upstream = self.dialler.upstream();
        let place = format!("{}:{}", crate::host_port::in_url(upstream.host()), upstream.port());
        let (answer, reason, message) = match error {
            UpstreamDialError::Dial(DialError::Refused { .. }) => {
                (Answer::Refused, UpstreamTrouble::Refused, format!("nothing is listening on {place}"))
            }
            UpstreamDialError::Dial(DialError::Deadline { .. }) => {
                (Answer::TimedOut, UpstreamTrouble::TimedOut, format!("{place} did not answer in time"))
            }
            UpstreamDialError::Dial(error) => (Answer::Refused, UpstreamTrouble::Refused, chain(error)),
            UpstreamDialError::Tls(HandshakeError::Deadline) => (
                Answer::TimedOut,
                UpstreamTrouble::Tls,
                format!("{place} did not finish its TLS handshake in time"),
            ),
            UpstreamDialError::Protocol => {
                let advice = match upstream.protocol() {
                    UpstreamProtocol::Http1 => "HTTP/1.1: add --upstream-protocol http2",
                    UpstreamProtocol::H2c | UpstreamProtocol::H2 => {
                        "HTTP/2: leave out --upstream-protocol http2"
                    }
                };
                (Answer::Refused, UpstreamTrouble::Tls, format!("{place} does not speak {advice}"))
            }
            UpstreamDialError::Tls(error) => {
                (Answer::Refused, UpstreamTrouble::Tls, format!("no TLS with {place}: {}", chain(error)))
            }
        };
        (answer, Event::UpstreamRefused { upstream: upstream.to_string(), reason, message })
    }

    fn reached(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Tells the user, unless that was done a moment ago and nothing has changed since.
    fn tell(&self, event: Event) {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| now.saturating_duration_since(at) >= UPSTREAM_EVENT_EVERY) {
            *told = Some(now);
            self.emitter.emit(event);
        }
    }
}

/// Says that the upstream was not reached. If that does not arrive, the stream is cut, which says no more.
async fn answer_no(mut stream: Stream, answer: Answer) {
    if let Err(error) = stream.send_answer(answer).await {
        tracing::debug!(%error, "a stream was cut before its answer");
    }
}

/// `first` goes to the upstream before anything of the visitor's.
async fn carry<T: Socket>(
    mut stream: Stream,
    mut upstream: Guarded<T>,
    first: &[u8],
    terminating: Option<(&Terminator, Place<'_>)>,
    traffic: &Traffic,
) -> PumpEnd {
    if let Some((terminator, place)) = terminating {
        return terminator.carry(stream, upstream, first, (place, traffic)).await;
    }
    if let Err(error) = introduce(upstream.io(), first).await {
        tracing::debug!(%error, "the upstream does not take the visitor's address");
        stream.abort(AbortCode::UpstreamBroken);
        return PumpEnd::Broken(error.kind());
    }
    if stream.send_answer(Answer::Dialled).await.is_err() {
        return PumpEnd::Cut;
    }
    let end = pump(stream, upstream.io(), PumpLimits::of_agent(), traffic).await;
    if end == PumpEnd::Complete {
        upstream.complete();
    }
    end
}
