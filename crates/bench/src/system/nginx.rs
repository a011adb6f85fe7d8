//! nginx: TLS for visitors, plain HTTP to what stands behind, upstream connections kept.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::certificates::HOST;
use super::fleet::Bystander;
use super::program::Program;
use super::running::Endpoints;
use super::site::{Site, free_address};
use crate::visitor::Target;

/// Starts it in front of `upstream`.
pub fn start(site: &Site, upstream: SocketAddr) -> Result<Endpoints> {
    let pass = "proxy_pass http://behind;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_read_timeout 10m;
      proxy_send_timeout 10m;";
    let upstream =
        format!("upstream behind {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}");
    let (target, program) = run(site, &upstream, pass)?;
    Ok(Endpoints::visited(target).with_server(program))
}

/// Starts one that refuses every request.
pub fn refusing(site: &Site) -> Result<Bystander> {
    let (target, program) = run(site, "", "return 429;")?;
    Ok(Bystander { target, program })
}

fn run(site: &Site, upstream: &str, answer: &str) -> Result<(Target, Program)> {
    let address = free_address()?;
    let config = site.write("nginx.conf", &config(site, address, upstream, answer))?;
    let mut nginx = Command::new("nginx");
    nginx
        .arg("-p")
        .arg(site.folder())
        .arg("-e")
        .arg(site.folder().join("nginx.errors"))
        .arg("-c")
        .arg(config);
    let program = Program::start("nginx", &mut nginx, site.folder())?;
    let target = Target::tls(address, HOST, site.place.certificates.roots()?)?;
    Ok((target, program))
}

/// As many workers as cores, nothing written to disk, no limit that a load would meet.
fn config(site: &Site, address: SocketAddr, upstream: &str, answer: &str) -> String {
    let folder = site.folder().display();
    let chain = quoted(&site.place.certificates.chain());
    let key = quoted(&site.place.certificates.key());
    format!(
        "daemon off;
worker_processes auto;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log {folder}/nginx.errors crit;
events {{ worker_connections 8192; multi_accept on; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 0;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  {upstream}
  server {{
    listen {address} ssl reuseport backlog=4096;
    ssl_certificate {chain};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.3;
    location / {{
      {answer}
    }}
  }}
}}
"
    )
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}
