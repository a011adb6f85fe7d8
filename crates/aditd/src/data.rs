//! Where an installation keeps its state.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

use adit_store::DatabaseUrl;
use anyhow::Context;

use crate::cli::DataArgs;

/// The file of the embedded database, inside the data folder.
const SQLITE_FILE: &str = "adit.sqlite";

/// The database that the environment names, or the embedded one in the data folder, which is made if there is none.
pub(crate) fn database(args: &DataArgs, database_url: Option<&str>) -> anyhow::Result<DatabaseUrl> {
    let folder = &args.data;
    // Only the owner may look inside: keys of this installation are there.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("the data folder {} cannot be made", folder.display()))?;
    match database_url {
        Some(url) => DatabaseUrl::parse(url).context("DATABASE_URL cannot be used"),
        None => Ok(DatabaseUrl::Sqlite(folder.join(SQLITE_FILE))),
    }
}
