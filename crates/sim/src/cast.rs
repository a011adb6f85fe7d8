//! Who plays: the node with the exchange of keys, agents, origins, and what they share.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_agent::{Agent, Event, Outcome, PublicUrl, ServerAddress, Upstream};
use adit_api::capability::{CapabilityRequest, CapabilityResponse, NodeAddress};
use adit_authority::{Admission, Directory};
use adit_domain::id::TenantId;
use adit_domain::{ApiKey, Hostname, Timestamp};
use adit_net::tls::{DevCa, Resolver};
use adit_process::shutdown::Shutdown;
use adit_process::tasks::Tasks;
use adit_server::Server;
use adit_web::{Body, HttpService, body, service};
use adit_wire::capability::{AgentKey, AgentPublicKey};
use anyhow::{Context as _, Result};
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rustls::server::ResolvesServerCert;

use crate::authority::{Authority, LIFE};
use crate::clocks::WallClock;
use crate::fuse::Fuses;
use crate::network::{Hosts, Port};
use crate::planted::Planted;
use adit_testkit::ledger::Ledger;

/// The tenants' marks, by which hosts, endpoints and bodies are told apart.
pub(crate) const MARKS: [char; 2] = ['a', 'b'];

/// What outlives every host. Clones are the same.
#[derive(Clone)]
pub(crate) struct Cast {
    pub(crate) ledger: Ledger,
    pub(crate) authority: Arc<Authority>,
    pub(crate) fuses: Fuses,
    pub(crate) planted: Planted,
    pub(crate) node_clock: WallClock,
    pub(crate) control_plane_clock: WallClock,
    certificates: Arc<dyn ResolvesServerCert>,
    ca_file: PathBuf,
    keys: Arc<[(char, ApiKey, TenantId); 2]>,
    _folder: Arc<tempfile::TempDir>,
}

impl Cast {
    pub(crate) fn new(planted: Planted) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // TLS asks the machine's clock, which stands still here.
        let today = Timestamp::from_micros(adit_process::clock::wall_micros());
        let ca = Arc::new(DevCa::create_or_load(folder.path(), today)?);
        let ca_file = ca.ca_pem_path().to_owned();
        let certificates = Resolver::new(vec![Arc::new(ca.leaves(|_| true))]);
        let (node_clock, control_plane_clock, ledger) =
            (WallClock::default(), WallClock::default(), Ledger::new(elapsed));
        let fuses = Fuses::default();
        let claims = fuses.claims.clone();
        let authority = Authority::new(control_plane_clock.clone(), ledger.clone(), planted, claims);
        let key = |mark| anyhow::Ok((mark, ApiKey::generate()?, TenantId::from_bytes([mark as u8; 16])));
        let keys = Arc::new([key(MARKS[0])?, key(MARKS[1])?]);
        let folder = Arc::new(folder);
        Ok(Self {
            ledger,
            authority,
            fuses,
            planted,
            node_clock,
            control_plane_clock,
            certificates,
            ca_file,
            keys,
            _folder: folder,
        })
    }

    /// The node's program.
    pub(crate) async fn node(self) -> Result<()> {
        let directory: Arc<dyn Directory> = self.authority.clone();
        let admission: Arc<dyn Admission> = self.authority.clone();
        let clock = self.node_clock.clone();
        let builder = Server::builder(directory, admission).clock(move || clock.now());
        let server = builder.reserve(Hostname::parse("node")?, self.clone().exchange()).build();
        let (https, http) = (
            Port::open(443, self.fuses.agents.clone()).await?,
            Port::open(80, self.fuses.visitors.clone()).await?,
        );
        let (_trigger, shutdown) = Shutdown::new();
        self.ledger.note("the node starts");
        if let Err(error) = server.run(https, Some(http), Arc::clone(&self.certificates), shutdown).await {
            self.ledger.note(format!("the node ends: {error}"));
        }
        Ok(())
    }

    /// The agent's program, on a host called `name`, and what starts it again when it fails.
    pub(crate) async fn agent(self, mark: char, name: &'static str) -> Result<()> {
        loop {
            let outcome = self.run_agent(mark, name).await?;
            self.ledger.note(format!("{name} ends: {outcome:?}"));
            if !matches!(outcome, Outcome::Failed(_)) {
                return Ok(());
            }
        }
    }

    async fn run_agent(&self, mark: char, name: &'static str) -> Result<Outcome> {
        let (_, key, _) = self.keys.iter().find(|(of, ..)| *of == mark).context("a key")?;
        let server = ServerAddress::parse("node")?;
        let upstream = Upstream::parse(&format!("http://origin-{mark}:80"))?;
        // The first agent only: `b` shows that nobody else notices.
        let fuses = if mark == 'a' { self.fuses.clone() } else { Fuses::default() };
        let builder = Agent::builder(server, key.clone(), upstream)
            .url(Some(PublicUrl::parse(&format!("{mark}.tunnel.example"))?))
            .agent_key(AgentKey::from_seed(&[mark as u8; 32]))
            .ca_file(&self.ca_file)?
            .network(Arc::new(Hosts { node: fuses.link, others: fuses.upstream }));
        let (mut agent, mut events) = builder.build()?.start(&Tasks::new(name));
        while let Some(event) = events.next().await {
            self.ledger.note(format!("{name}: {}", said(&event)));
            if matches!(event, Event::Replaced { .. }) {
                self.ledger.taken_over(mark);
            }
        }
        Ok(agent.ended().await)
    }

    /// `POST /api/v1/agent/capability`, as the app answers it.
    fn exchange(self) -> HttpService {
        service::boxed(tower::service_fn(move |request: Request<Incoming>| {
            let cast = self.clone();
            async move {
                let answer = cast.capability(request).await;
                Ok::<_, Infallible>(answer.unwrap_or_else(|_| status(StatusCode::SERVICE_UNAVAILABLE)))
            }
        }))
    }

    async fn capability(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let bearer = request.headers().get(AUTHORIZATION).context("no key")?.to_str()?.to_owned();
        let key = |key: &ApiKey| bearer.strip_prefix("Bearer ") == Some(key.expose());
        let (.., tenant) = self.keys.iter().find(|(_, known, _)| key(known)).context("an unknown key")?;
        let asked: CapabilityRequest =
            serde_json::from_slice(&request.into_body().collect().await?.to_bytes())?;
        let agent = AgentPublicKey::from_hex(&asked.agent_public_key)?;
        let capability = self.authority.capability(*tenant, agent).await?;
        let node = NodeAddress { host: "node".to_owned(), port: 443, sni: "node".to_owned() };
        let answer = CapabilityResponse {
            capability: capability.to_hex(),
            expires_in: LIFE.as_secs(),
            nodes: vec![node],
            trust_roots: Vec::new(),
        };
        Ok(Response::new(body::full(serde_json::to_vec(&answer)?)))
    }
}

/// The simulated time. Inside the simulation only.
fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

fn status(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(body::empty());
    *answer.status_mut() = status;
    answer
}

/// An event without what differs from run to run.
fn said(event: &Event) -> String {
    match event {
        Event::Disconnected { reason, message, retry_in_ms, .. } => {
            format!("disconnected ({reason:?}): {message}; back in {retry_in_ms} ms")
        }
        Event::UrlAssigned { url, epoch, .. } => format!("{url} in {epoch:?}"),
        Event::Connecting { attempt } => format!("connecting, attempt {attempt}"),
        Event::Connected { .. } => "connected".to_owned(),
        Event::Connections { open, wanted } => format!("{open} of {wanted} connections"),
        Event::Starting { .. } => "starts".to_owned(),
        Event::UpstreamRefused { message, .. } | Event::Warning { message } => message.clone(),
        Event::Replaced { .. } => "replaced".to_owned(),
        Event::Stopped { .. } => "stopped".to_owned(),
    }
}
