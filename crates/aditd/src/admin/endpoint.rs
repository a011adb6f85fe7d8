//! `aditd admin endpoint`.

use adit_control_plane::{Admin, TenantEndpoints};
use adit_store::EndpointRecord;
use serde_json::json;

use super::short;
use crate::cli::EndpointVerb;
use crate::print;

/// Lists endpoints, or removes one.
pub(super) async fn endpoint(admin: &Admin, verb: EndpointVerb, json: bool) -> anyhow::Result<()> {
    match verb {
        EndpointVerb::List { tenant } => list(admin, tenant.as_deref(), json).await,
        EndpointVerb::Remove { name } => {
            admin.remove_endpoint(&name).await?;
            if json {
                return print::json(&json!({ "hostname": name, "removed": true }));
            }
            Ok(print::line(&format!(
                "The endpoint {name} is removed. Who serves it is told within seconds."
            ))?)
        }
    }
}

async fn list(admin: &Admin, tenant: Option<&str>, json: bool) -> anyhow::Result<()> {
    let tenants = admin.endpoints(tenant).await?;
    let rows = || {
        tenants.iter().flat_map(|TenantEndpoints { tenant, endpoints }| {
            endpoints.iter().map(move |endpoint| (tenant, endpoint))
        })
    };
    if json {
        return print::json(&rows().map(|(tenant, row)| as_json(tenant, row)).collect::<Vec<_>>());
    }
    Ok(print::table(
        ["TENANT", "ENDPOINT", "KIND", "PORT", "CREATED"],
        &rows().map(|(tenant, row)| cells(tenant, row)).collect::<Vec<_>>(),
    )?)
}

fn as_json(tenant: &str, row: &EndpointRecord) -> serde_json::Value {
    json!({
        "tenant": tenant,
        "id": row.id,
        "hostname": row.hostname,
        "kind": row.kind,
        "port": row.port,
        "created_at": row.created_at.to_string(),
    })
}

fn cells(tenant: &str, row: &EndpointRecord) -> [String; 5] {
    [
        tenant.to_owned(),
        row.hostname.clone(),
        row.kind.to_string(),
        row.port.map_or_else(String::new, |port| port.to_string()),
        short(row.created_at),
    ]
}
