//! `aditd admin`: the operator's commands, as tables for people and JSON for programs.

mod endpoint;
mod usage;

use adit_control_plane::{Admin, Clock, CreatedKey};
use adit_store::{ApiKeyRecord, CapabilityRecord, DatabaseUrl, Revocation, Store, Tenant};
use anyhow::{Context, bail};
use serde_json::json;

use crate::cli::{AdminArgs, AdminNoun, ApikeyVerb, CapabilityVerb, DATA_FOLDER, TenantVerb};
use crate::{data, print};

/// Does one command.
pub(crate) async fn admin(args: AdminArgs, database_url: Option<String>) -> anyhow::Result<()> {
    let folder = args.data.data.display().to_string();
    let database = data::database_url(&args.data, database_url.as_deref())?;
    let is_new = matches!(&database, DatabaseUrl::Sqlite(file) if !file.exists());
    if is_new && !matches!(args.noun, AdminNoun::Tenant(TenantVerb::Create { .. })) {
        bail!(
            "there is no installation in {folder}: name the data folder of one that exists with --data, or DATABASE_URL; \
             a new one is made by `aditd up` or `aditd admin tenant create`"
        );
    }
    if is_new {
        data::make_folder(&args.data.data)?;
    }
    let store = Store::open(&database).await.context("the database cannot be opened")?;
    if is_new {
        print::note(&format!("Made a new installation in {folder}. One that exists is named with --data."))?;
    }
    let admin = Admin::new(store.clone(), Clock::wall());
    let done = match args.noun {
        AdminNoun::Tenant(verb) => tenant(&admin, verb, &folder, args.json).await,
        AdminNoun::Apikey(verb) => api_key(&admin, verb, args.json).await,
        AdminNoun::Capability(verb) => capability(&admin, verb, args.json).await,
        AdminNoun::Endpoint(verb) => endpoint::endpoint(&admin, verb, args.json).await,
        AdminNoun::Usage(wanted) => usage::usage(&admin, &wanted, args.json).await,
    };
    store.close().await;
    done
}

async fn tenant(admin: &Admin, verb: TenantVerb, folder: &str, json: bool) -> anyhow::Result<()> {
    match verb {
        TenantVerb::Create { name } => {
            let id = admin.create_tenant(&name).await?;
            if json {
                return print::json(&json!({ "id": id, "name": name }));
            }
            print::line(&format!("Tenant {name} created."))?;
            Ok(print::note(&format!("Next: {}", create_key(folder, &name)))?)
        }
        TenantVerb::List => {
            let tenants = admin.tenants().await?;
            if json {
                return print::json(&tenants.iter().map(tenant_json).collect::<Vec<_>>());
            }
            let rows: Vec<_> = tenants
                .iter()
                .map(|t| [t.id.to_string(), t.name.clone(), t.plan.to_string(), short(t.created_at)])
                .collect();
            Ok(print::table(["ID", "NAME", "PLAN", "CREATED"], &rows)?)
        }
        TenantVerb::Plan { name, plan } => {
            admin.set_plan(&name, plan).await?;
            if json {
                return print::json(&json!({ "name": name, "plan": plan.name() }));
            }
            Ok(print::line(&format!("Tenant {name} is on the plan {plan}."))?)
        }
    }
}

/// The command that comes after creating a tenant, ready for a shell.
fn create_key(folder: &str, tenant: &str) -> String {
    let data = if folder == DATA_FOLDER { String::new() } else { format!(" --data {}", quoted(folder)) };
    format!("aditd admin{data} apikey create --tenant {} --name NAME", quoted(tenant))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

async fn api_key(admin: &Admin, verb: ApikeyVerb, json: bool) -> anyhow::Result<()> {
    match verb {
        ApikeyVerb::Create { tenant, name } => {
            let CreatedKey { id, key } = admin.create_api_key(&tenant, &name, None).await?;
            if json {
                return print::json(&json!({ "id": id, "name": name, "key": key.expose() }));
            }
            print::line(key.expose())?;
            Ok(print::note(
                "This is the only time that the key is shown. Save it for the agent: adit config add-authtoken",
            )?)
        }
        ApikeyVerb::List { tenant } => {
            let keys = admin.api_keys(&tenant).await?;
            if json {
                return print::json(&keys.iter().map(key_json).collect::<Vec<_>>());
            }
            Ok(print::table(
                ["ID", "NAME", "KEY", "CREATED", "LAST USED", "STATE"],
                &keys.iter().map(key_row).collect::<Vec<_>>(),
            )?)
        }
        ApikeyVerb::Revoke { id } => {
            // What the parser says about single characters helps nobody.
            let parsed = id.parse().ok().with_context(|| {
                format!("`{id}` is not an API key's id: `aditd admin apikey list --tenant NAME` shows them")
            })?;
            said(admin.revoke_api_key(parsed).await?, "API key", &id, json)
        }
    }
}

async fn capability(admin: &Admin, verb: CapabilityVerb, json: bool) -> anyhow::Result<()> {
    match verb {
        CapabilityVerb::List { tenant } => {
            let capabilities = admin.capabilities(&tenant).await?;
            if json {
                return print::json(&capabilities.iter().map(capability_json).collect::<Vec<_>>());
            }
            let rows: Vec<_> = capabilities.iter().map(capability_row).collect();
            Ok(print::table(["ID", "API KEY", "INSTANCE", "ISSUED", "EXPIRES", "STATE"], &rows)?)
        }
        CapabilityVerb::Revoke { id } => {
            let parsed = id.parse().ok().with_context(|| {
                format!(
                    "`{id}` is not a capability's id: `aditd admin capability list --tenant NAME` shows them"
                )
            })?;
            said(admin.revoke_capability(parsed).await?, "capability", &id, json)
        }
    }
}

fn said(revocation: Revocation, noun: &str, id: &str, json: bool) -> anyhow::Result<()> {
    let text = match revocation {
        Revocation::Revoked => format!("The {noun} {id} is revoked. Its live sessions end within seconds."),
        Revocation::AlreadyRevoked => format!("The {noun} {id} was revoked before."),
        Revocation::Unknown => bail!("there is no {noun} with the id {id}"),
    };
    if json {
        return print::json(&json!({ "id": id, "revoked": true }));
    }
    Ok(print::line(&text)?)
}

fn tenant_json(tenant: &Tenant) -> serde_json::Value {
    json!({
        "id": tenant.id,
        "name": tenant.name,
        "plan": tenant.plan.name(),
        "created_at": tenant.created_at.to_string(),
    })
}

fn key_json(key: &ApiKeyRecord) -> serde_json::Value {
    json!({
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "created_at": key.created_at.to_string(),
        "last_used_at": key.last_used_at.map(|at| at.to_string()),
        "revoked_at": key.revoked_at.map(|at| at.to_string()),
    })
}

fn key_row(key: &ApiKeyRecord) -> [String; 6] {
    [
        key.id.to_string(),
        key.name.clone(),
        format!("adit_…{}", key.hint),
        short(key.created_at),
        key.last_used_at.map_or_else(|| "never".to_owned(), short),
        state(key.revoked_at.is_some()),
    ]
}

fn capability_json(capability: &CapabilityRecord) -> serde_json::Value {
    json!({
        "id": capability.id,
        "api_key": capability.api_key,
        "instance": capability.instance,
        "issued_at": capability.issued_at.to_string(),
        "expires_at": capability.expires_at.to_string(),
        "revoked_at": capability.revoked_at.map(|at| at.to_string()),
    })
}

fn capability_row(capability: &CapabilityRecord) -> [String; 6] {
    [
        capability.id.to_string(),
        capability.api_key.to_string(),
        capability.instance.to_string(),
        short(capability.issued_at),
        short(capability.expires_at),
        state(capability.revoked_at.is_some()),
    ]
}

fn state(revoked: bool) -> String {
    if revoked { "revoked" } else { "active" }.to_owned()
}

/// A time without its fraction of a second.
fn short(at: adit_domain::Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(whole, _)| format!("{whole}Z"))
}

#[cfg(test)]
mod tests {
    use super::create_key;

    #[test]
    fn the_next_command_is_for_the_same_installation_and_survives_a_shell() {
        assert_eq!(create_key("adit-data", "me"), "aditd admin apikey create --tenant me --name NAME");
        assert_eq!(
            create_key("/srv/a b", "Ann's"),
            "aditd admin --data '/srv/a b' apikey create --tenant 'Ann'\\''s' --name NAME"
        );
    }
}
