//! A Postgres server of the tests' own, from the binaries that Debian installs.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use anyhow::{Context, Result, bail, ensure};
use uuid::Uuid;

use crate::limits::{POSTGRES_CONNECTIONS_MAX, POSTGRES_DEADLINE};
use crate::until_blocking;

/// The environment variable by which a test runner hands over one server for all test processes:
/// [`Postgres::admin_url`] of a server that it started.
pub const POSTGRES_VARIABLE: &str = "ADIT_TEST_POSTGRES";

/// Looks after the server: stops it, and deletes its folder, when its standard input ends. That also happens when the
/// test process is killed, so no server outlives its test.
const KEEPER: &str = r#"
bin=$1 dir=$2 connections=$3
start() {
    "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c max_connections="$connections" \
        -c shared_buffers=32MB -c autovacuum=off </dev/null >>"$dir/log" 2>&1 &
    pid=$!
}
start
while read -r command; do
    case $command in
        start) start ;;
        crash)
            kill -9 "$pid"
            for process in /proc/[0-9]*; do
                [ "$(readlink "$process/cwd")" = "$dir/data" ] && kill -9 "${process#/proc/}"
            done
            wait "$pid" ;;
    esac
done
kill -INT "$pid"
wait "$pid"
rm -rf "$dir"
"#;

/// Makes the role that owns databases. Several test processes may do so at once on one server.
const OWNER: &str = "DO $$ BEGIN CREATE ROLE adit_test LOGIN PASSWORD 'adit_test';
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$";

/// A Postgres server in a temporary folder, reached over a Unix socket in it, so that it needs no port. It runs as an
/// unprivileged user and keeps the durability settings that Postgres comes with.
#[derive(Debug)]
pub struct Postgres {
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Started here.
    Own { dir: PathBuf, keeper: Child, orders: Option<ChildStdin> },
    /// Started by the test runner.
    Given { admin_url: String },
}

static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

impl Postgres {
    /// The server of this test process: the one that the test runner handed over in [`POSTGRES_VARIABLE`], or one that
    /// lives as long as somebody holds it.
    ///
    /// # Errors
    /// When no server can be started.
    pub fn shared() -> Result<Arc<Self>> {
        let mut shared =
            SHARED.lock().map_err(|_| anyhow::anyhow!("starting Postgres failed in another test"))?;
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        #[expect(clippy::disallowed_methods, reason = "this is the configuration of a test run")]
        let server = match std::env::var(POSTGRES_VARIABLE) {
            Ok(admin_url) => Self { place: Place::Given { admin_url } },
            Err(_) => Self::start()?,
        };
        let server = Arc::new(server);
        *shared = Arc::downgrade(&server);
        Ok(server)
    }

    /// Starts a server that is nobody else's.
    ///
    /// # Errors
    /// When Postgres is not installed, or does not start.
    pub fn start() -> Result<Self> {
        let bin = binaries()?;
        let dir = tempfile::Builder::new().prefix("adit-pg-").tempdir()?;
        let user = User::unprivileged(dir.path())?;
        chown(dir.path(), Some(user.uid), Some(user.gid))?;
        initialise(&bin, dir.path(), user)?;
        let mut keeper = user
            .command("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&bin)
            .arg(dir.path())
            .arg(POSTGRES_CONNECTIONS_MAX.to_string())
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("starting sh")?;
        let orders = keeper.stdin.take();
        let server = Self { place: Place::Own { dir: dir.keep(), keeper, orders } };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Where a superuser connects, to hand this server to other processes.
    #[must_use]
    pub fn admin_url(&self) -> String {
        match &self.place {
            Place::Own { dir, .. } => {
                format!("postgres://postgres@localhost/postgres?host={}", dir.display())
            }
            Place::Given { admin_url } => admin_url.clone(),
        }
    }

    /// A fresh, empty database, and where its owner connects: a role without special rights, as in production.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn database(&self) -> Result<String> {
        self.sql(OWNER)?;
        connect_url(&self.admin_url(), "adit_test:adit_test", &self.create("OWNER adit_test")?)
    }

    /// The same for a superuser, which nobody should serve from.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn superusers_database(&self) -> Result<String> {
        let admin_url = self.admin_url();
        let (superuser, _) = admin_url.rsplit_once('@').context("the admin's URL names a user")?;
        let superuser = superuser.trim_start_matches("postgres://").to_owned();
        connect_url(&admin_url, &superuser, &self.create("")?)
    }

    fn create(&self, how: &str) -> Result<String> {
        let name = format!("test_{}", Uuid::now_v7().simple());
        self.sql(&format!("CREATE DATABASE {name} {how}"))?;
        Ok(name)
    }

    /// Kills every process of the server at once, as a crash would.
    ///
    /// # Errors
    /// When the server is not ours to kill, or does not go.
    pub fn crash(&mut self) -> Result<()> {
        let dir = self.order("crash")?;
        until_blocking("Postgres is gone", POSTGRES_DEADLINE, || processes_in(&dir.join("data")) == 0)
    }

    /// Starts the server again on the same data.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> Result<()> {
        let dir = self.order("start")?;
        let _ = fs::remove_file(dir.join("data/postmaster.pid")); // left behind by the crash
        self.wait_until_ready()
    }

    fn order(&mut self, order: &str) -> Result<PathBuf> {
        let Place::Own { dir, orders: Some(orders), .. } = &mut self.place else {
            bail!("only a server that was started here takes orders");
        };
        writeln!(orders, "{order}")?;
        Ok(dir.clone())
    }

    fn wait_until_ready(&self) -> Result<()> {
        let Place::Own { dir, .. } = &self.place else { return Ok(()) };
        // The file's last line is "ready" once connections are taken; pg_ctl looks at the same place.
        let status = dir.join("data/postmaster.pid");
        let ready = || {
            let text = fs::read_to_string(&status).unwrap_or_default();
            text.lines().last().is_some_and(|line| line.trim() == "ready")
        };
        until_blocking("Postgres is ready", POSTGRES_DEADLINE, ready)
            .with_context(|| fs::read_to_string(dir.join("log")).unwrap_or_default())
    }

    /// Runs one SQL statement as a superuser.
    fn sql(&self, statement: &str) -> Result<()> {
        let psql = Command::new(binaries()?.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", statement])
            .arg(self.admin_url())
            .stdin(Stdio::null())
            .output()
            .context("starting psql")?;
        ensure!(psql.status.success(), "{statement}: {}", String::from_utf8_lossy(&psql.stderr));
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Place::Own { keeper, orders, .. } = &mut self.place {
            drop(orders.take());
            let _ = keeper.wait(); // it is our own child: there is nothing else to do
        }
    }
}

/// `url`, for another user and database of the same server.
fn connect_url(url: &str, user: &str, database: &str) -> Result<String> {
    let rest = url.strip_prefix("postgres://").context("a Postgres URL starts with postgres://")?;
    let (rest, query) = rest.split_once('?').map_or((rest, String::new()), |(r, q)| (r, format!("?{q}")));
    let (place, _) = rest.split_once('/').context("a Postgres URL names a database")?;
    let (_, host) = place.rsplit_once('@').unwrap_or(("", place));
    Ok(format!("postgres://{user}@{host}/{database}{query}"))
}

/// Where Debian keeps the server's programs; the newest version if there are several.
fn binaries() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .max_by_key(|bin| bin.parent().and_then(|v| v.file_name()?.to_str()?.parse::<u32>().ok()))
        .context("Postgres is not installed: run `apt-get install postgresql`")
}

fn initialise(bin: &Path, dir: &Path, user: User) -> Result<()> {
    let log = File::create(dir.join("initdb.log"))?;
    let status = user
        .command(bin.join("initdb"))
        .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync", "-D"])
        .arg(dir.join("data"))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .context("starting initdb")?;
    ensure!(status.success(), "initdb: {}", fs::read_to_string(dir.join("initdb.log"))?);
    Ok(())
}

/// How many live processes work in `folder`; each process of a server works in its data folder.
fn processes_in(folder: &Path) -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == folder))
        .count()
}

/// Whom the server runs as. It refuses to run as root.
#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Ourselves; if that is root, the user that Debian's package made.
    fn unprivileged(ours: &Path) -> Result<Self> {
        let me = fs::metadata(ours)?;
        if me.uid() != 0 {
            return Ok(Self { uid: me.uid(), gid: me.gid() });
        }
        let users = fs::read_to_string("/etc/passwd")?;
        let fields = users.lines().find_map(|line| line.strip_prefix("postgres:"));
        let mut fields = fields.context("there is no user `postgres`")?.split(':').skip(1);
        let mut number = || fields.next()?.parse().ok();
        match (number(), number()) {
            (Some(uid), Some(gid)) => Ok(Self { uid, gid }),
            _ => bail!("cannot read /etc/passwd"),
        }
    }

    fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.uid(self.uid).gid(self.gid);
        command
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::{Postgres, connect_url};

    #[test]
    fn urls_lead_to_another_database_of_the_same_server() {
        for (url, expected) in [
            ("postgres://postgres@localhost/postgres?host=/tmp/x", "postgres://u:p@localhost/d?host=/tmp/x"),
            ("postgres://adit:se@cret@127.0.0.1:5433/postgres", "postgres://u:p@127.0.0.1:5433/d"),
        ] {
            assert_eq!(connect_url(url, "u:p", "d").unwrap(), expected);
        }
    }

    #[test]
    fn a_server_starts_crashes_starts_again_and_leaves_nothing() {
        let mut server = Postgres::start().unwrap();
        let one = server.database().unwrap();
        let two = server.database().unwrap();
        assert_ne!(one, two);
        server.crash().unwrap();
        assert!(server.database().is_err());
        server.restart().unwrap();
        server.database().unwrap();
        let super::Place::Own { dir, .. } = &server.place else { return };
        let dir = dir.clone();
        drop(server);
        assert_eq!(super::processes_in(&dir.join("data")), 0);
        assert!(!dir.exists());
    }
}
