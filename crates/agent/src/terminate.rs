//! Ends visitors' TLS at the agent, for an upstream that speaks without it. The node passes on what it cannot read.

mod ferry;

use std::sync::Arc;

use adit_mux::{Answer, PumpEnd, Stream, Traffic};
use adit_net::io::{Guarded, Socket};
use adit_net::tls::{Resolver, TlsConfigError, terminating_server};
use adit_wire::record::AbortCode;
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificate::Certificate;
use crate::limits::{VISITOR_HANDSHAKE, VISITOR_HANDSHAKES_MAX};
use crate::upstream::dial::introduce;

/// The TLS server of an endpoint.
pub(crate) struct Terminator {
    certificate: Arc<Certificate>,
    config: Arc<ServerConfig>,
    handshakes: Semaphore,
}

/// A place among the handshakes.
pub(crate) type Place<'a> = SemaphorePermit<'a>;

impl Terminator {
    /// Serves this certificate.
    ///
    /// # Errors
    /// None that a user can cause.
    pub(crate) fn new(certificate: Certificate) -> Result<Self, TlsConfigError> {
        let certificate = Arc::new(certificate);
        let config = terminating_server(Resolver::new(vec![Arc::clone(&certificate) as _]))?;
        Ok(Self { certificate, config, handshakes: Semaphore::new(VISITOR_HANDSHAKES_MAX) })
    }

    /// What it serves.
    pub(crate) const fn certificate(&self) -> &Arc<Certificate> {
        &self.certificate
    }

    /// A place for one more handshake; none if [`VISITOR_HANDSHAKES_MAX`] are under way.
    pub(crate) fn place(&self) -> Option<Place<'_>> {
        self.handshakes.try_acquire().ok()
    }

    /// Answers that the upstream is there, speaks TLS with the visitor, and moves what is said in it until both have ended.
    /// `first` goes to the upstream before anything of the visitor's, but only of a visitor whose handshake stands.
    pub(crate) async fn carry<T: Socket>(
        &self,
        mut stream: Stream,
        mut upstream: Guarded<T>,
        first: &[u8],
        (place, traffic): (Place<'_>, &Traffic),
    ) -> PumpEnd {
        if stream.send_answer(Answer::Dialled).await.is_err() {
            return PumpEnd::Cut;
        }
        let Some(mut visitor) = self.accept(stream, place).await else { return PumpEnd::Cut };
        let end = match introduce(upstream.io(), first).await {
            Ok(()) => ferry::carry(&mut visitor, upstream.io(), Stream::poll_severed, traffic).await,
            Err(error) => PumpEnd::Broken(error.kind()),
        };
        match end {
            PumpEnd::Complete => upstream.complete(),
            PumpEnd::Broken(_) => visitor.into_inner().0.abort(AbortCode::UpstreamBroken),
            PumpEnd::Idle => visitor.into_inner().0.abort(AbortCode::Idle),
            // Dropping the stream says what there is to say.
            _ => {}
        }
        end
    }

    async fn accept(&self, stream: Stream, place: Place<'_>) -> Option<TlsStream<Stream>> {
        let accepting = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).into_fallible();
        let accepted = timeout(VISITOR_HANDSHAKE, accepting).await;
        drop(place);
        match accepted {
            Ok(Ok(visitor)) => Some(visitor),
            Ok(Err((error, stream))) => {
                tracing::debug!(%error, "no TLS with a visitor");
                dismiss(stream).await;
                None
            }
            Err(_elapsed) => {
                tracing::debug!("a visitor's TLS handshake took too long");
                None
            }
        }
    }
}

/// The alert that tells the visitor why is on its way; it must arrive before the end.
async fn dismiss(mut stream: Stream) {
    let told = async {
        stream.flush().await?;
        stream.shutdown().await
    };
    // Whoever does not take a few bytes needs no reason.
    drop(timeout(VISITOR_HANDSHAKE, told).await);
}

#[cfg(all(test, unix))]
mod tests;
