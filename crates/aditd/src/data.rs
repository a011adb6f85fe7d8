//! Where an installation keeps its state.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use adit_store::DatabaseUrl;
use anyhow::Context;

use crate::cli::DataArgs;

/// The file of the embedded database, inside the data folder.
const SQLITE_FILE: &str = "adit.sqlite";

/// The database that the environment names, or the embedded one in the data folder, which is made if there is none.
pub(crate) fn database(args: &DataArgs, database_url: Option<&str>) -> anyhow::Result<DatabaseUrl> {
    make_folder(&args.data)?;
    self::database_url(args, database_url)
}

/// The same, and nothing is made.
pub(crate) fn database_url(args: &DataArgs, database_url: Option<&str>) -> anyhow::Result<DatabaseUrl> {
    match database_url {
        Some(url) => DatabaseUrl::parse(url).context("DATABASE_URL cannot be used"),
        None => Ok(DatabaseUrl::Sqlite(args.data.join(SQLITE_FILE))),
    }
}

/// Makes the data folder.
pub(crate) fn make_folder(folder: &Path) -> anyhow::Result<()> {
    // Only the owner may look inside: keys of this installation are there.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("the data folder {} cannot be made", folder.display()))
}
