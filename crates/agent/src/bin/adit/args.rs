//! The command line.

use std::ffi::OsString;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use adit_agent::limits::{CONNECTIONS_DEFAULT, CONNECTIONS_MAX};
use adit_agent::{HostHeader, HttpVersion, ProxyVersion, PublicUrl, Upstream};
use adit_domain::Retry;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::pool::Pool;

/// Gives a local service a public HTTPS address.
#[derive(Parser, Debug)]
#[command(name = "adit", version, max_term_width = 80, disable_help_subcommand = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Start with:  printf %s \"$KEY\" | adit config add-authtoken
Then:        adit http 3000

Exit status: 0 done, 1 failed (trying again may help), 2 usage,
             4 authentication, 5 refused by the server, 130 Ctrl-C.";

#[derive(Args, Debug)]
pub struct Global {
    #[arg(
        long,
        global = true,
        display_order = 90,
        value_name = "SERVER",
        help = "The server, as in adit.example [env: ADIT_SERVER]"
    )]
    pub server: Option<String>,
    #[arg(
        long,
        global = true,
        display_order = 91,
        value_name = "FILE",
        help = "PEM file with the only roots to trust\n[env: ADIT_CA_FILE]"
    )]
    pub ca_file: Option<PathBuf>,
    #[arg(
        long,
        global = true,
        display_order = 92,
        value_name = "FILE",
        help = "The configuration file [env: ADIT_CONFIG]"
    )]
    pub config: Option<PathBuf>,
    /// Where ngrok takes its key. Only here to say why it is not taken.
    #[arg(long, global = true, hide = true, num_args = 0..=1, default_missing_value = "", value_name = "NEVER")]
    pub authtoken: Option<OsString>,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Forward a public HTTPS address to a local HTTP service
    Http(Http),
    /// Forward a public TCP port to a local service
    Tcp(Tcp),
    /// Forward a public UDP port to a local service
    Udp(Udp),
    /// Forward a public TLS address to a local service; keys stay here
    Tls(Tls),
    /// Look at or change the configuration
    #[command(subcommand)]
    Config(Config),
    /// Show the version
    Version,
}

#[derive(Args, Debug)]
pub struct Http {
    #[arg(value_parser = Upstream::parse, help = "The local service: 3000, host:3000, http://… or https://…")]
    pub upstream: Upstream,
    #[arg(long, help = "The public address to ask for: a name or a URL;\nwithout it, the one that this upstream had", value_name = "URL", value_parser = PublicUrl::parse, aliases = ["domain", "subdomain", "hostname"])]
    pub url: Option<PublicUrl>,
    /// What the local service speaks: http1 or http2
    #[arg(
        long,
        value_name = "VERSION",
        default_value = "http1",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub upstream_protocol: UpstreamVersion,
    /// The Host that the local service is sent:
    /// preserve (the public name), rewrite (its own) or a name
    #[arg(long, value_name = "HOST", default_value = "preserve", hide_default_value = true, value_parser = HostHeader::parse, verbatim_doc_comment)]
    pub host_header: HostHeader,
    #[arg(long, value_name = "VERSION", help = PROXY_PROTOCOL_HTTP)]
    pub proxy_protocol: Option<Proxy>,
    /// Never send a request again that the local service
    /// may have acted on; without it, a GET without an answer is
    #[arg(long, verbatim_doc_comment)]
    pub no_retry: bool,
    #[command(flatten)]
    pub running: Running,
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=CONNECTIONS_MAX).contains(&number) => Ok(number),
        _ => Err(format!("it must be a number from 1 to {CONNECTIONS_MAX}")),
    }
}

#[derive(Args, Debug)]
pub struct Tcp {
    #[arg(value_parser = Upstream::parse_tcp, help = "The local service: 22, host:22 or tcp://host:22")]
    pub upstream: Upstream,
    #[arg(long, help = "The public address to ask for: a name or a URL;\nwithout it, the one that this upstream had", value_name = "URL", value_parser = PublicUrl::parse_tcp)]
    pub url: Option<PublicUrl>,
    #[arg(
        long,
        help = "The public port to ask for; it stays yours.\nWithout it, the one that this address had",
        value_name = "PORT"
    )]
    pub remote_port: Option<NonZeroU16>,
    #[arg(long, value_name = "VERSION", help = PROXY_PROTOCOL)]
    pub proxy_protocol: Option<Proxy>,
    #[command(flatten)]
    pub running: Running,
}

#[derive(Args, Debug)]
pub struct Udp {
    #[arg(value_parser = Upstream::parse_udp, help = "The local service: 53, host:53 or udp://host:53")]
    pub upstream: Upstream,
    #[arg(long, help = "The public address to ask for: a name or a URL;\nwithout it, the one that this upstream had", value_name = "URL", value_parser = PublicUrl::parse_udp)]
    pub url: Option<PublicUrl>,
    #[arg(
        long,
        help = "The public port to ask for; it stays yours.\nWithout it, the one that this address had",
        value_name = "PORT"
    )]
    pub remote_port: Option<NonZeroU16>,
    #[command(flatten)]
    pub running: Running,
}

#[derive(Args, Debug)]
pub struct Tls {
    #[arg(value_parser = Upstream::parse_tls, help = "The local service: 443, host:443 or tls://host:443")]
    pub upstream: Upstream,
    #[arg(long, help = "The public address to ask for: a name or a URL;\nwithout it, the one that this upstream had", value_name = "URL", value_parser = PublicUrl::parse_tls)]
    pub url: Option<PublicUrl>,
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        help = "PEM file with a certificate for the address: the agent\nspeaks TLS, and the local service need not"
    )]
    pub cert: Option<PathBuf>,
    #[arg(
        long,
        value_name = "FILE",
        requires = "cert",
        help = "PEM file with the key of the certificate; both are read\nagain when they change"
    )]
    pub key: Option<PathBuf>,
    #[arg(long, value_name = "VERSION", help = PROXY_PROTOCOL)]
    pub proxy_protocol: Option<Proxy>,
    #[command(flatten)]
    pub running: Running,
}

const PROXY_PROTOCOL_HTTP: &str = "Tell the service where visitors come from,\nwith the PROXY protocol: 1 or 2. Each request\nthen has a connection of its own";

const PROXY_PROTOCOL: &str = "Tell the service where visitors come from,\nwith the PROXY protocol";

/// A version of the PROXY protocol.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proxy {
    #[value(name = "1")]
    V1,
    #[value(name = "2")]
    V2,
}

impl From<Proxy> for ProxyVersion {
    fn from(version: Proxy) -> Self {
        match version {
            Proxy::V1 => Self::V1,
            Proxy::V2 => Self::V2,
        }
    }
}

/// How an agent runs, whatever it exposes.
#[derive(Args, Debug)]
pub struct Running {
    #[arg(long, value_name = "N", default_value_t = CONNECTIONS_DEFAULT, value_parser = connections, alias = "pool-size", help = "How many connections to hold, 1 to 8")]
    pub connections: usize,
    #[command(flatten)]
    pub pool: Pool,
    /// Print events as JSON, one a line, and nothing else
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub log: Log,
}

/// What to expose, and how.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    pub upstream: &'a Upstream,
    pub url: Option<&'a PublicUrl>,
    pub port: Option<NonZeroU16>,
    pub proxy_protocol: Option<Proxy>,
    /// Certificate and key.
    pub certificate: Option<(&'a Path, &'a Path)>,
    pub version: HttpVersion,
    pub host_header: Option<&'a HostHeader>,
    pub retry: Retry,
    pub running: &'a Running,
}

impl<'a> Order<'a> {
    const fn new(upstream: &'a Upstream, url: Option<&'a PublicUrl>, running: &'a Running) -> Self {
        Self {
            upstream,
            url,
            port: None,
            proxy_protocol: None,
            certificate: None,
            version: HttpVersion::Http1,
            host_header: None,
            retry: Retry::Safe,
            running,
        }
    }

    /// The local service, and how it is spoken to.
    pub fn upstream(&self) -> Upstream {
        let upstream = self.upstream.clone().speaking(self.version);
        upstream.with_host_header(self.host_header.cloned().unwrap_or_default())
    }
}

impl Http {
    pub const fn order(&self) -> Order<'_> {
        let Self { upstream, url, upstream_protocol, host_header, proxy_protocol, no_retry, running } = self;
        let version = match upstream_protocol {
            UpstreamVersion::Http1 => HttpVersion::Http1,
            UpstreamVersion::Http2 => HttpVersion::Http2,
        };
        let order = Order::new(upstream, url.as_ref(), running);
        let retry = if *no_retry { Retry::Off } else { Retry::Safe };
        Order { version, host_header: Some(host_header), proxy_protocol: *proxy_protocol, retry, ..order }
    }
}

impl Tcp {
    pub fn order(&self) -> Order<'_> {
        let Self { upstream, url, remote_port, proxy_protocol, running } = self;
        let port = remote_port.or(url.as_ref().and_then(PublicUrl::port));
        let order = Order::new(upstream, url.as_ref(), running);
        Order { port, proxy_protocol: *proxy_protocol, ..order }
    }
}

impl Udp {
    pub fn order(&self) -> Order<'_> {
        let Self { upstream, url, remote_port, running } = self;
        let port = remote_port.or(url.as_ref().and_then(PublicUrl::port));
        let order = Order::new(upstream, url.as_ref(), running);
        Order { port, ..order }
    }
}

impl Tls {
    pub fn order(&self) -> Order<'_> {
        let Self { upstream, url, cert, key, proxy_protocol, running } = self;
        let order = Order::new(upstream, url.as_ref(), running);
        let certificate = cert.as_deref().zip(key.as_deref());
        Order { proxy_protocol: *proxy_protocol, certificate, ..order }
    }
}

/// A version of HTTP, as `--upstream-protocol` has it.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpstreamVersion {
    Http1,
    Http2,
}

#[derive(Args, Debug)]
pub struct Log {
    /// Where the log goes: stdout, stderr, false or a file
    #[arg(long = "log", value_name = "WHERE")]
    pub destination: Option<String>,
    /// text or json
    #[arg(long = "log-format", value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub format: LogFormat,
    #[arg(
        long = "log-level",
        help = "error, warn, info, debug or trace\n[default: info with --log, else warn]",
        value_name = "LEVEL",
        hide_possible_values = true
    )]
    pub level: Option<LogLevel>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Subcommand, Debug)]
pub enum Config {
    /// Save the API key that arrives on standard input
    #[command(after_help = "printf %s \"$KEY\" | adit config add-authtoken\n\n\
        The key is never taken from the command line, where other users of\n\
        this computer can see it.")]
    AddAuthtoken(AddAuthtoken),
    /// Check the configuration and show where each value comes from
    Check,
    /// Show where the configuration file is
    Path,
}

#[derive(Args, Debug)]
pub struct AddAuthtoken {
    #[arg(long, help = "Take the key from ADIT_AUTHTOKEN instead")]
    pub from_env: bool,
    /// Where ngrok takes its key. Only here to say why it is not taken.
    #[arg(hide = true, value_name = "NEVER", allow_hyphen_values = true)]
    pub given: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    fn assert_narrow(command: &mut clap::Command) {
        let text = command.render_help().to_string();
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        }
        command.get_subcommands_mut().for_each(assert_narrow);
    }

    #[test]
    fn help_is_consistent_and_nothing_wraps_at_80() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        assert_narrow(&mut command);
    }
}
