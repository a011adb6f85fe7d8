//! `aditd admin usage`.

use adit_control_plane::{Admin, Grouping, TenantUsage};
use adit_store::UsageRecord;
use serde_json::json;

use super::short;
use crate::cli::UsageArgs;
use crate::print;

/// Shows what endpoints carried.
pub(super) async fn usage(admin: &Admin, wanted: &UsageArgs, json: bool) -> anyhow::Result<()> {
    let grouping = if wanted.hourly { Grouping::Hour } else { Grouping::Endpoint };
    let tenants = admin.usage(wanted.tenant.as_deref(), wanted.days, grouping).await?;
    let rows =
        || tenants.iter().flat_map(|TenantUsage { tenant, rows }| rows.iter().map(move |row| (tenant, row)));
    if json {
        return print::json(&rows().map(|(tenant, row)| as_json(tenant, row)).collect::<Vec<_>>());
    }
    let hour = if wanted.hourly { "HOUR" } else { "LAST HOUR" };
    Ok(print::table(
        ["TENANT", "ENDPOINT", hour, "REQUESTS", "CONNECTIONS", "BYTES IN", "BYTES OUT"],
        &rows().map(|(tenant, row)| cells(tenant, row)).collect::<Vec<_>>(),
    )?)
}

fn as_json(tenant: &str, row: &UsageRecord) -> serde_json::Value {
    json!({
        "tenant": tenant,
        "endpoint": row.endpoint,
        "hostname": row.hostname,
        "hour": row.hour.to_string(),
        "requests": row.carried.requests,
        "connections": row.carried.connections,
        "in_bytes": row.carried.in_bytes,
        "out_bytes": row.carried.out_bytes,
    })
}

fn cells(tenant: &str, row: &UsageRecord) -> [String; 7] {
    let carried = &row.carried;
    [
        tenant.to_owned(),
        row.hostname.clone(),
        short(row.hour),
        carried.requests.to_string(),
        carried.connections.to_string(),
        carried.in_bytes.to_string(),
        carried.out_bytes.to_string(),
    ]
}
