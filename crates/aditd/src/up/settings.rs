//! What `aditd up` was told, checked as a whole before anything starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use adit_domain::{Hostname, Label, Timestamp};
use adit_net::tls::{DevCa, PemFiles, Resolver};
use adit_store::DatabaseUrl;
use anyhow::Context;

use crate::cli::UpArgs;
use crate::data;

/// The one host of development: browsers and curl take every name under it to the loopback address (RFC 6761).
const DEV_HOST: &str = "localhost";
const DEV_HTTPS_PORT: u16 = 8443;
const DEV_HTTP_PORT: u16 = 8080;
const HTTPS_PORT: u16 = 443;

/// Everything that the parts need to know.
pub(super) struct Settings {
    pub(super) database: DatabaseUrl,
    pub(super) listen: SocketAddr,
    pub(super) http_listen: Option<SocketAddr>,
    pub(super) public_port: Option<u16>,
    pub(super) domain: Hostname,
    pub(super) app_host: Hostname,
    pub(super) certificates: Arc<Resolver>,
    /// The certificate authority to trust; none when the certificate comes from files.
    pub(super) ca_file: Option<PathBuf>,
}

impl Settings {
    pub(super) fn read(args: &UpArgs, database_url: Option<&str>) -> anyhow::Result<Self> {
        let dev_host = || Hostname::parse(DEV_HOST);
        let domain = args.domain.clone().map_or_else(dev_host, Ok)?;
        let app_host = args.app_host.clone().map_or_else(dev_host, Ok)?;
        if !args.dev && shares_parent(&domain, &app_host) {
            tracing::warn!(
                %domain, %app_host,
                "the app's host and the endpoints share a domain: an endpoint could set cookies for the app; use two domains"
            );
        }
        let database = data::database(&args.data, database_url)?;
        let (certificates, ca_file) = certificates(args, &domain, &app_host)?;
        let dev = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, HTTPS_PORT));
        Ok(Self {
            database,
            listen: args.listen.unwrap_or_else(|| if args.dev { dev(DEV_HTTPS_PORT) } else { all }),
            http_listen: if args.dev {
                Some(args.http_listen.unwrap_or_else(|| dev(DEV_HTTP_PORT)))
            } else {
                None
            },
            public_port: args.public_port,
            domain,
            app_host,
            certificates,
            ca_file,
        })
    }
}

type Certificates = (Arc<Resolver>, Option<PathBuf>);

fn certificates(args: &UpArgs, domain: &Hostname, app_host: &Hostname) -> anyhow::Result<Certificates> {
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let files = PemFiles::load(certificate, key)?;
        warn_of_doubts(&files, domain, app_host);
        return Ok((Resolver::new(vec![Arc::new(files)]), None));
    }
    let authority = DevCa::create_or_load(&args.data.data.join("dev-ca"), now())
        .context("the development CA cannot be made")?;
    let ca_file = std::path::absolute(authority.ca_pem_path())?;
    let (domain, app_host) = (domain.clone(), app_host.clone());
    let leaves =
        Arc::new(authority).leaves(move |name| *name == app_host || name.is_direct_child_of(&domain));
    Ok((Resolver::new(vec![Arc::new(leaves)]), Some(ca_file)))
}

/// What agents or visitors would stumble over.
fn warn_of_doubts(files: &PemFiles, domain: &Hostname, app_host: &Hostname) {
    if files.expires_at().is_some_and(|end| end <= now()) {
        tracing::warn!("the certificate has expired");
    }
    if !files.covers(app_host) {
        tracing::warn!(%app_host, "the certificate does not cover the app's host: agents will refuse it");
    }
    let endpoint = Label::parse("name").ok().and_then(|label| domain.child(&label).ok());
    if endpoint.is_some_and(|endpoint| !files.covers(&endpoint)) {
        tracing::warn!("the certificate does not cover *.{domain}: visitors will be warned");
    }
}

fn now() -> Timestamp {
    Timestamp::from_micros(adit_process::clock::wall_micros())
}

/// Whether two names end in the same two labels: most often the same owner's domain.
fn shares_parent(one: &Hostname, other: &Hostname) -> bool {
    let parent = |name: &Hostname| {
        let labels: Vec<_> = name.labels().map(str::to_owned).collect();
        labels.into_iter().rev().take(2).collect::<Vec<_>>()
    };
    parent(one) == parent(other)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use adit_domain::Hostname;

    use super::shares_parent;

    #[test]
    fn one_owners_domain_is_noticed() {
        let cases = [
            ("adit.example", "tunnels.example", false),
            ("app.adit.example", "adit.example", true),
            ("app.adit.example", "t.adit.example", true),
            ("adit.example", "adit-endpoints.example", false),
        ];
        for (app, domain, shared) in cases {
            let (app, domain) = (Hostname::parse(app).unwrap(), Hostname::parse(domain).unwrap());
            assert_eq!(shares_parent(&app, &domain), shared, "{app} {domain}");
        }
    }
}
