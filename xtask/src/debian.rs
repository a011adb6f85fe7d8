//! The programs that tests and benchmarks need besides Rust, and their Debian packages.

mod services;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::console;
use crate::interrupt::Interrupt;
use crate::job;
use services::Services;

/// What tests need, whether it is there, and which package has it.
pub const FOR_TESTS: [Need; 10] = [
    Need { package: "postgresql", present: postgres_starts },
    Need { package: "git", present: git_serves_http },
    // libFuzzer is C++, and is built from its source.
    Need { package: "g++", present: || job::answers(Command::new("c++").arg("--version")) },
    Need { package: "curl", present: || job::answers(Command::new("curl").arg("--version")) },
    SSH_CLIENT,
    SSH_SERVER,
    // A name server without anything that starts it.
    Need { package: "dnsmasq-base", present: || job::answers(Command::new("dnsmasq").arg("--version")) },
    // Networks that lose packets, and clocks that jump.
    Need { package: "iproute2", present: || Path::new("/sbin/ip").exists() },
    Need { package: "nftables", present: || Path::new("/usr/sbin/nft").exists() },
    Need { package: "libfaketime", present: faketime_is_there },
];

/// nginx beside Adit.
pub const FOR_NGINX: [Need; 1] =
    [Need { package: "nginx-light", present: || job::answers(Command::new("nginx").arg("-v")) }];

/// What rathole is built with, and what makes the file that it reads its certificate from.
pub const FOR_RATHOLE: [Need; 3] = [
    Need { package: "pkg-config", present: || job::answers(Command::new("pkg-config").arg("--version")) },
    Need {
        package: "libssl-dev",
        present: || job::answers(Command::new("pkg-config").args(["--exists", "openssl"])),
    },
    Need { package: "openssl", present: || job::answers(Command::new("openssl").arg("version")) },
];

/// OpenSSH, both ends.
pub const FOR_SSH: [Need; 2] = [SSH_CLIENT, SSH_SERVER];

const SSH_CLIENT: Need =
    Need { package: "openssh-client", present: || job::answers(Command::new("ssh").arg("-V")) };
const SSH_SERVER: Need = Need { package: "openssh-server", present: || Path::new("/usr/sbin/sshd").exists() };

/// Where Debian's Postgres packages read whether to create and start a database server of the machine's own.
const CREATE_CLUSTER: &str = "/etc/postgresql-common/createcluster.conf";

/// The same file as the package ships it.
const CREATE_CLUSTER_SHIPPED: &str = "/usr/share/postgresql-common/createcluster.conf";

/// A program and the package that has it.
pub struct Need {
    package: &'static str,
    present: fn() -> bool,
}

/// What to do about missing packages.
#[derive(Debug, PartialEq, Eq)]
enum Remedy {
    Nothing,
    Install,
    Tell(String),
}

/// Makes sure that these programs are there: installs what is missing where it may, and says the one command to run
/// where it may not.
pub fn ensure(needs: &[Need], interrupt: &Interrupt) -> Result<()> {
    let missing = missing(needs);
    let may_install =
        rustix::process::geteuid().is_root() && job::answers(Command::new("apt-get").arg("--version"));
    match remedy(&missing, may_install) {
        Remedy::Nothing => Ok(()),
        Remedy::Tell(text) => bail!(text),
        Remedy::Install => {
            console::step(&format!("installing {}", missing.join(" ")));
            install(&missing, interrupt)?;
            still_missing(needs)
        }
    }
}

fn missing(needs: &[Need]) -> Vec<&'static str> {
    needs.iter().filter(|need| !(need.present)()).map(|need| need.package).collect()
}

fn remedy(missing: &[&str], may_install: bool) -> Remedy {
    if missing.is_empty() {
        Remedy::Nothing
    } else if may_install {
        Remedy::Install
    } else {
        Remedy::Tell(format!(
            "this needs programs that are not here. Run this, then try again:\n\n  \
             sudo apt-get install -y --no-install-recommends {}\n",
            missing.join(" ")
        ))
    }
}

fn install(packages: &[&str], interrupt: &Interrupt) -> Result<()> {
    job::run("apt-get update", apt_get().arg("update"), interrupt)?;
    let _services = Services::keep_from_starting()?;
    let kept_from_starting = keep_postgres_from_starting(Path::new(CREATE_CLUSTER))?;
    let mut install = apt_get();
    install.args(["install", "-y", "--no-install-recommends"]).args(packages);
    let result = job::run("apt-get install", &mut install, interrupt);
    if kept_from_starting {
        leave_as_shipped(Path::new(CREATE_CLUSTER), Path::new(CREATE_CLUSTER_SHIPPED))?;
    }
    result
}

fn still_missing(needs: &[Need]) -> Result<()> {
    let still = missing(needs);
    if still.is_empty() { Ok(()) } else { bail!("installed, and still missing: {}", still.join(" ")) }
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.arg("-q").env("DEBIAN_FRONTEND", "noninteractive").env("UCF_FORCE_CONFFOLD", "1");
    command
}

/// Tells Debian's package, for this installation, not to create a database of its own. An existing file is the
/// owner's decision and stays. Returns whether the file was written.
fn keep_postgres_from_starting(file: &Path) -> Result<bool> {
    if file.exists() {
        return Ok(false);
    }
    let folder = file.parent().context("the file has no folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    std::fs::write(file, "create_main_cluster = false\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(true)
}

/// Puts the file back to what the package would have written.
fn leave_as_shipped(file: &Path, shipped: &Path) -> Result<()> {
    if shipped.exists() {
        std::fs::copy(shipped, file).with_context(|| format!("cannot restore {}", file.display()))?;
    } else {
        std::fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}

/// Debian puts the server's programs into one folder per major version, off the path.
fn postgres_starts() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin")).any(|programs| programs.join("initdb").exists())
}

/// Debian puts libraries into one folder per architecture.
fn faketime_is_there() -> bool {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders
        .map(|folder| folder.path().join("faketime"))
        .any(|folder| folder.join("libfaketimeMT.so.1").exists())
}

fn git_serves_http() -> bool {
    job::output("git", Command::new("git").arg("--exec-path"))
        .is_ok_and(|folder| Path::new(folder.trim()).join("git-http-backend").exists())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose folder cannot be written has failed")]

    use std::fs;

    use super::{Remedy, keep_postgres_from_starting, leave_as_shipped, remedy};

    #[test]
    fn what_may_not_be_installed_is_told_as_one_command() {
        assert_eq!(remedy(&[], false), Remedy::Nothing);
        assert_eq!(remedy(&["git"], true), Remedy::Install);
        let Remedy::Tell(text) = remedy(&["postgresql", "curl"], false) else { unreachable_remedy() };
        assert!(text.contains("sudo apt-get install -y --no-install-recommends postgresql curl\n"), "{text}");
    }

    #[test]
    fn the_package_is_left_as_it_ships_and_an_owners_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (file, shipped) = (folder.path().join("etc").join("conf"), folder.path().join("shipped"));
        fs::write(&shipped, "#create_main_cluster = true\n").unwrap();

        assert!(keep_postgres_from_starting(&file).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "create_main_cluster = false\n");
        assert!(!keep_postgres_from_starting(&file).unwrap(), "the second time it is somebody's file");

        leave_as_shipped(&file, &shipped).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "#create_main_cluster = true\n");
        leave_as_shipped(&file, &folder.path().join("never there")).unwrap();
        assert!(!file.exists());
    }

    #[expect(clippy::panic, reason = "the test's verdict")]
    fn unreachable_remedy() -> ! {
        panic!("it may not install, so it must tell")
    }
}
