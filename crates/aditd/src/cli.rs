//! The command line of `aditd`.

use std::net::SocketAddr;
use std::path::PathBuf;

use adit_domain::{Hostname, Plan, PortRange};
use adit_net::network::Network;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Adit's server: gives services without a public address a public URL.
#[derive(Debug, Parser)]
#[command(name = "aditd", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How the program logs; logs go to the standard error stream.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Text for people, JSON for programs.
    #[arg(long, global = true, display_order = 90, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// What to log, for example `info` or `info,adit_server=debug`.
    #[arg(long, global = true, display_order = 91, value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

const FIRST_LOOK: &str = "\
For a first look on this machine:  aditd up --dev
With a certificate of your own:    aditd up --domain tunnels.example --app-host app.example \\
                                     --tls-cert chain.pem --tls-key key.pem";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process: control plane and node.
    #[command(arg_required_else_help = true, after_help = FIRST_LOOK)]
    Up(UpArgs),
    /// Look after tenants, keys and endpoints of this installation.
    Admin(AdminArgs),
}

/// The data folder where none is named.
pub(crate) const DATA_FOLDER: &str = "adit-data";

/// Where the installation keeps its state. With `DATABASE_URL=postgres://…` in the environment, tenants and keys are
/// in that database, and the folder holds only certificates.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// The data folder.
    #[arg(long, global = true, display_order = 80, value_name = "DIR", default_value = DATA_FOLDER)]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// For development: a certificate authority of its own, endpoints at NAME.localhost.
    #[arg(long)]
    pub(crate) dev: bool,
    /// Where agents and visitors connect [default: 0.0.0.0:443, with --dev 127.0.0.1:8443].
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Plain HTTP for visitors, for development only [default: none, with --dev 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "dev")]
    pub(crate) http_listen: Option<SocketAddr>,
    /// The domain under which endpoints get their names [with --dev: localhost].
    #[arg(long, value_name = "DOMAIN", required_unless_present = "dev")]
    pub(crate) domain: Option<Hostname>,
    /// The host name of the API that agents talk to [with --dev: localhost].
    #[arg(long, value_name = "HOST", required_unless_present = "dev")]
    pub(crate) app_host: Option<Hostname>,
    /// Certificate chain in PEM, for the app's host and for all names one label below the domain.
    #[arg(long, value_name = "FILE", required_unless_present = "dev", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The port in public URLs, where it differs from the one listened on.
    #[arg(long, value_name = "PORT")]
    pub(crate) public_port: Option<u16>,
    /// The public ports of tcp endpoints, as in 20000-20100; without them, there are none.
    #[arg(long, value_name = "FIRST-LAST")]
    pub(crate) tcp_ports: Option<PortRange>,
    /// The public ports of udp endpoints, as in 20000-20100; without them, there are none.
    #[arg(long, value_name = "FIRST-LAST")]
    pub(crate) udp_ports: Option<PortRange>,
    /// Where trusted load balancers are, as in 10.0.0.0/8,192.0.2.7: each connection from there, on whichever port, must
    /// begin with a PROXY protocol header (version 1 or 2), whose address then counts as the visitor's.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(crate) trusted_proxy: Vec<Network>,
    /// How much memory it may use, in MiB: near it, new work is refused [default: what the control group or the machine
    /// has].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..))]
    pub(crate) memory_max: Option<u64>,
    /// How many connections one address may have open, a /64 with IPv6. Behind a load balancer that hides its visitors'
    /// addresses, all of them count as one [default: 500, with --dev 10000].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections_per_address: Option<u32>,
    /// Write down nothing of what endpoints carry: `aditd admin usage` will not show it.
    #[arg(long)]
    pub(crate) no_metering: bool,
    /// On SIGTERM or Ctrl-C, how long to wait for requests in flight before they are cut. A second signal cuts at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) drain_timeout: u64,
    /// Write where it serves to this file, as JSON, as soon as it does.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "it must be an IP address and a port, as in 0.0.0.0:443 or [::]:443")
}

#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Print JSON instead of a table.
    #[arg(long, global = true, display_order = 81)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) noun: AdminNoun,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminNoun {
    /// Tenants: the units of isolation.
    #[command(subcommand)]
    Tenant(TenantVerb),
    /// API keys: what agents sign in with.
    #[command(subcommand)]
    Apikey(ApikeyVerb),
    /// Capabilities: what API keys were exchanged for.
    #[command(subcommand)]
    Capability(CapabilityVerb),
    /// Endpoints: the public addresses that tenants have.
    #[command(subcommand)]
    Endpoint(EndpointVerb),
    /// Show what endpoints carried: requests, connections and bytes.
    Usage(UsageArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// Of this tenant only.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// How many days to look back.
    #[arg(long, default_value = "31", value_parser = clap::value_parser!(u32).range(1..=400))]
    pub(crate) days: u32,
    /// Hour by hour instead of one sum for each endpoint.
    #[arg(long)]
    pub(crate) hourly: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantVerb {
    /// Create a tenant.
    Create {
        /// Its name, at most 64 bytes.
        name: String,
    },
    /// List the tenants.
    List,
    /// Put a tenant on another plan. Agents that are connected follow within the hour.
    Plan {
        /// The tenant's name.
        name: String,
        /// The plan: self-hosted, or starter.
        plan: Plan,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApikeyVerb {
    /// Create an API key. It is shown once.
    Create {
        /// The tenant's name.
        #[arg(long)]
        tenant: String,
        /// What the key is for.
        #[arg(long)]
        name: String,
    },
    /// List a tenant's API keys.
    List {
        /// The tenant's name.
        #[arg(long)]
        tenant: String,
    },
    /// Revoke an API key. Its live sessions end within seconds.
    Revoke {
        /// The key's id, as `list` shows it.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CapabilityVerb {
    /// List the capabilities of a tenant that have not expired.
    List {
        /// The tenant's name.
        #[arg(long)]
        tenant: String,
    },
    /// Revoke a capability. Its live sessions end within seconds.
    Revoke {
        /// The capability's id, as `list` shows it.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EndpointVerb {
    /// List endpoints, served or not.
    List {
        /// Of this tenant only.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Remove an endpoint. Its agents are told within seconds; the name stays its tenant's, who can take it again.
    Remove {
        /// Its host name, as `list` shows it.
        name: String,
    },
}
