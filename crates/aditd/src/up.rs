//! `aditd up`: control plane and node in one process.

mod settings;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adit_api::capability::NodeAddress;
use adit_control_plane::{Clock, ControlPlane};
use adit_net::listen::bind;
use adit_process::descriptors::{self, Limits};
use adit_process::shutdown::{Shutdown, Trigger};
use adit_process::signals::Signals;
use adit_process::tasks::Tasks;
use adit_server::{Builder, Server};
use adit_store::{RowSecurity, Store};
use anyhow::Context;
use serde::Serialize;

use crate::alone::{Alone, alone};
use crate::cli::UpArgs;
use crate::supervise::{self, Supervisor};
use settings::Settings;

/// Where a node keeps what it has carried and not reported, inside the data folder.
const USAGE_FOLDER: &str = "usage";

/// Connections that one address may have in development, where everybody has the same.
const DEV_CONNECTIONS_PER_ADDRESS: u32 = 10_000;

/// With fewer descriptors a node takes fewer connections than it has memory for.
const DESCRIPTORS_ENOUGH: u64 = 16_384;

/// Where the process serves, for a program that started it.
#[derive(Serialize)]
struct Ready<'a> {
    https_port: u16,
    http_port: Option<u16>,
    domain: &'a str,
    app_host: &'a str,
    /// The certificate authority to trust; none when the certificate comes from files.
    ca_file: Option<&'a Path>,
}

/// Runs until a signal, or until a part fails.
pub(crate) async fn up(args: UpArgs, database_url: Option<String>) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    raise_descriptors();
    let settings = Settings::read(&args, database_url.as_deref())?;
    let alone = alone(&args.data.data, &settings.database).await?;
    let store = Store::open(&settings.database).await.context("the database cannot be opened")?;
    doubt_row_security(&store).await?;
    let https = bind(settings.listen)?;
    let http = settings.http_listen.map(bind).transpose()?;
    let tls_port = https.local_addr()?.port();
    let plain_port = http.as_ref().map(|http| http.local_addr().map(|a| a.port())).transpose()?;
    let public_port = settings.public_port.unwrap_or(tls_port);

    let node = NodeAddress {
        host: settings.app_host.to_string(),
        port: public_port,
        sni: settings.app_host.to_string(),
    };
    let for_control_plane = adit_control_plane::Settings {
        domain: settings.domain.clone(),
        reserved: vec![settings.app_host.clone()],
        tcp_ports: args.tcp_ports,
        udp_ports: args.udp_ports,
        nodes: vec![node],
        trust_roots: Vec::new(),
    };
    let control_plane = ControlPlane::start(store, for_control_plane, Clock::wall())
        .await
        .context("the control plane cannot start")?;
    let drain_deadline = Duration::from_secs(args.drain_timeout);
    let server = Server::builder(Arc::new(control_plane.clone()), Arc::new(control_plane.clone()))
        .reserve(settings.app_host.clone(), control_plane.service())
        .public_port(public_port)
        .ports_at(settings.listen.ip())
        .drain_deadline(drain_deadline)
        .trusted_proxies(args.trusted_proxy.clone());
    let server = bounded(metered(server, &control_plane, &args), &args).build();

    let ready = Ready {
        https_port: tls_port,
        http_port: plain_port,
        domain: settings.domain.as_str(),
        app_host: settings.app_host.as_str(),
        ca_file: settings.ca_file.as_deref(),
    };
    announce(&ready, args.ready_file.as_deref())?;

    let (trigger, shutdown) = Shutdown::new();
    let certificates = settings.certificates;
    let (for_server, for_control_plane) = (shutdown.clone(), shutdown);
    let tasks = Tasks::new("aditd");
    let again = cut_when_asked_again(&trigger);
    let supervised = supervise::supervise(
        Supervisor { tasks: &tasks, trigger: &trigger, drain_deadline },
        async move { Ok(server.run(https, http, certificates, for_server).await?) },
        async move {
            control_plane.housekeeping(for_control_plane).await;
            Ok(())
        },
        async move {
            signals.terminate().await;
            Ok(())
        },
    );
    let gives_way = give_way(alone, trigger.subscribe());
    tokio::select! {
        ended = supervised => ended,
        failed = again => failed,
        never = gives_way => never,
    }
}

/// The second guard between tenants is there only for a role that it counts for.
async fn doubt_row_security(store: &Store) -> anyhow::Result<()> {
    if store.row_security().await.context("the database cannot be read")? == RowSecurity::PassedOver {
        tracing::warn!(
            "row-level security, the database's own guard between tenants, does not count for the role in DATABASE_URL: use one \
             that owns the database and is neither a superuser nor has BYPASSRLS"
        );
    }
    Ok(())
}

/// What endpoints carry is written down, unless the operator does not want to know.
fn metered(server: Builder, control_plane: &ControlPlane, args: &UpArgs) -> Builder {
    if args.no_metering {
        return server;
    }
    server.metering(Arc::new(control_plane.clone()), args.data.data.join(USAGE_FOLDER))
}

/// What the operator says about how much the node may take.
fn bounded(mut server: Builder, args: &UpArgs) -> Builder {
    if let Some(mebibytes) = args.memory_max {
        server = server.memory_max(mebibytes.saturating_mul(1024 * 1024));
    }
    let on_one_machine = args.dev.then_some(DEV_CONNECTIONS_PER_ADDRESS);
    if let Some(max) = args.connections_per_address.or(on_one_machine) {
        server = server.connections_per_address(max);
    }
    server
}

/// Each connection takes a descriptor, and each stream of a tcp endpoint. The node sheds work before they run out.
fn raise_descriptors() {
    match descriptors::raise() {
        Ok(Limits { soft, hard }) if soft.is_some_and(|soft| soft < DESCRIPTORS_ENOUGH) => {
            tracing::warn!(
                soft,
                hard,
                "few files may be open: raise the hard limit (ulimit -Hn, LimitNOFILE)"
            );
        }
        Ok(Limits { soft, hard }) => tracing::debug!(soft, hard, "limit of open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}

/// A process that drains takes nobody in any more: the next one may, beside it.
async fn give_way(alone: Alone, mut shutdown: Shutdown) -> anyhow::Result<()> {
    shutdown.draining().await;
    drop(alone);
    std::future::pending().await
}

/// A second signal ends the drain: what is in flight is cut. Returns only if signals cannot be heard.
async fn cut_when_asked_again(trigger: &Trigger) -> anyhow::Result<()> {
    trigger.subscribe().draining().await;
    // Its own ears: those of the first signal are gone with the task that heard it.
    let mut signals = Signals::listen()?;
    signals.terminate().await;
    tracing::warn!("asked again: what is in flight is cut");
    trigger.stop();
    std::future::pending().await
}

/// The listeners are bound, so whoever reads this can connect.
fn announce(ready: &Ready<'_>, file: Option<&Path>) -> anyhow::Result<()> {
    tracing::info!(
        https_port = ready.https_port,
        http_port = ready.http_port,
        domain = ready.domain,
        app_host = ready.app_host,
        ca_file = ready.ca_file.map(|file| tracing::field::display(file.display())),
        "serving"
    );
    let Some(file) = file else { return Ok(()) };
    // Written beside and renamed: a reader never sees half of it.
    let beside = file.with_extension("partial");
    std::fs::write(&beside, serde_json::to_vec(ready)?)
        .and_then(|()| std::fs::rename(&beside, file))
        .with_context(|| format!("cannot write {}", file.display()))
}
