//! A network of a test's own, in which packets can be lost: this computer, another one, and a cable between them.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::line::{LINE_PORT, Line, Quality, VXLAN_PORT};

/// Debian's places. Programs that start with an empty environment have no path to look in.
const IP: &str = "/sbin/ip";
const BRIDGE: &str = "/sbin/bridge";
const NFT: &str = "/usr/sbin/nft";

/// Both ends of the cable are called so.
const CABLE: &str = "cable";

/// And both ends of the line.
const LINE: &str = "line";

/// The name under which the other computer knows this one.
pub const HERE: &str = "adit.example";

/// With what is wrapped around it, a packet of the line fits through the cable in one piece.
const LINE_MTU: &str = "1400";

/// Of the addresses for tests of networks (RFC 2544, appendix C.2.2).
const HERE_IP: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const THERE_IP: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

/// The same computers, at the ends of the line.
const FAR_HERE_IP: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 1);
const FAR_THERE_IP: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 2);

/// `program`, to be run in a namespace.
pub(crate) fn inside(namespace: &str, program: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(IP);
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// Which packets are lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// Those from the other computer.
    Coming,
    /// Those to it.
    Going,
    /// All.
    Both,
}

/// Two namespaces of the kernel, which nothing else reaches and which reach nothing else. They go with this.
#[derive(Debug)]
pub struct Network {
    here: Namespace,
    there: Namespace,
}

impl Network {
    /// Makes the network, and moves this thread into it: what it opens and starts from now on is there. It stays there,
    /// so the test must have one thread, and should have nothing else to do afterwards.
    pub fn enter() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("adit-e2e-{}-{number}-{side}", std::process::id());
        let network = Self { here: Namespace::add(name("here"))?, there: Namespace::add(name("there"))? };
        let Self { here, there } = &network;
        ip(&[
            "link",
            "add",
            CABLE,
            "netns",
            &here.name,
            "type",
            "veth",
            "peer",
            "name",
            CABLE,
            "netns",
            &there.name,
        ])?;
        here.connect(HERE_IP)?;
        there.connect(THERE_IP)?;
        there.knows(HERE, HERE_IP)?;
        here.knows(HERE, Ipv4Addr::LOCALHOST)?;
        here.enter()?;
        Ok(network)
    }

    /// Lays a line beside the cable. From now on the other computer knows this one by its end of the line.
    pub fn lay(&self, quality: Quality) -> Result<Line> {
        self.here.end_of_line(FAR_HERE_IP, THERE_IP)?;
        self.there.end_of_line(FAR_THERE_IP, HERE_IP)?;
        self.there.knows(HERE, FAR_HERE_IP)?;
        let here = self.here.open(|| UdpSocket::bind((HERE_IP, LINE_PORT)))?;
        let there = self.there.open(|| UdpSocket::bind((THERE_IP, LINE_PORT)))?;
        Line::start([here, there], quality)
    }

    /// A port on the other computer, and its address at the end of the line.
    pub fn listen_there(&self) -> Result<(TcpListener, SocketAddr)> {
        let listener = self.there.open(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
        let port = listener.local_addr()?.port();
        Ok((listener, SocketAddr::from((FAR_THERE_IP, port))))
    }

    /// Where the other computer reaches this one.
    #[must_use]
    pub const fn here_ip(&self) -> Ipv4Addr {
        HERE_IP
    }

    /// The namespaces of this computer and the other one, for [`Home::inside`](crate::Home).
    #[must_use]
    pub fn namespaces(&self) -> [String; 2] {
        [&self.here, &self.there].map(|namespace| namespace.name.clone())
    }

    /// From now on packets between the two computers are lost, of connections to this port here. Nobody is told.
    pub fn lose(&self, lost: Lost, port: u16) -> Result<()> {
        if lost != Lost::Going {
            self.here.drop_incoming(&format!("ip saddr {THERE_IP} tcp dport {port}"))?;
        }
        if lost != Lost::Coming {
            self.there.drop_incoming(&format!("ip saddr {HERE_IP} tcp sport {port}"))?;
        }
        Ok(())
    }

    /// No packet is lost any more.
    pub fn heal(&self) -> Result<()> {
        self.here.drop_nothing()?;
        self.there.drop_nothing()
    }
}

/// One of them. Its name goes when this is dropped, itself with the last process in it.
#[derive(Debug)]
struct Namespace {
    name: String,
}

impl Namespace {
    fn add(name: String) -> Result<Self> {
        ip(&["netns", "add", &name]).context("a network namespace cannot be made: this test runs as root")?;
        // From here on it is removed, whatever fails.
        let namespace = Self { name };
        namespace.drop_nothing()?;
        Ok(namespace)
    }

    /// Moves this thread into it.
    fn enter(&self) -> Result<()> {
        let link = File::open(self.path()).context("the namespace has no link")?;
        move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network))
            .context("this thread cannot be moved into a network namespace")
    }

    /// What is opened in it stays in it.
    fn open<T: Send>(&self, open: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
        let inside = || {
            self.enter()?;
            open().context("nothing can be opened in a network namespace")
        };
        let opened = std::thread::scope(|threads| threads.spawn(inside).join());
        opened.map_err(|_| anyhow!("the thread in a network namespace is gone"))?
    }

    fn connect(&self, address: Ipv4Addr) -> Result<()> {
        ip(&["-n", &self.name, "address", "add", &format!("{address}/30"), "dev", CABLE])?;
        for device in ["lo", CABLE] {
            ip(&["-n", &self.name, "link", "set", device, "up"])?;
        }
        Ok(())
    }

    /// A device of which each packet goes as one datagram to the line's port at the other computer. What the sender's
    /// kernel has not summed up (it expects a network card to) the receiver's does not ask for.
    fn end_of_line(&self, address: Ipv4Addr, peer: Ipv4Addr) -> Result<()> {
        let (port, line_port) = (VXLAN_PORT.to_string(), LINE_PORT.to_string());
        let add = ["link", "add", LINE, "type", "vxlan", "id", "1", "dstport", &port, "nolearning"];
        let sums = ["udpcsum", "remcsumtx", "remcsumrx"];
        ip(&[&["-n", &self.name], add.as_slice(), &sums].concat())?;
        ip(&["-n", &self.name, "link", "set", LINE, "mtu", LINE_MTU, "gso_max_segs", "1", "up"])?;
        ip(&["-n", &self.name, "address", "add", &format!("{address}/30"), "dev", LINE])?;
        let all = ["fdb", "append", "00:00:00:00:00:00", "dev", LINE, "dst", &peer.to_string()];
        run(Command::new(BRIDGE).args(["-n", &self.name]).args(all).args(["port", &line_port]))
    }

    /// `ip netns exec` shows the files of this folder to what it starts, in the place of those in `/etc`.
    fn knows(&self, name: &str, address: Ipv4Addr) -> Result<()> {
        fs::create_dir_all(self.settings()).context("no folder for a name")?;
        let hosts = format!("127.0.0.1 localhost\n{address} {name}\n");
        fs::write(self.settings().join("hosts"), hosts).context("a name cannot be written")
    }

    fn drop_incoming(&self, what: &str) -> Result<()> {
        self.nft(&format!("add rule inet fault incoming {what} drop"))
    }

    fn drop_nothing(&self) -> Result<()> {
        // Both are there already, or are made.
        self.nft(
            "add table inet fault; add chain inet fault incoming { type filter hook input priority 0; }",
        )?;
        self.nft("flush table inet fault")
    }

    fn nft(&self, rules: &str) -> Result<()> {
        run(Command::new(IP).args(["netns", "exec", &self.name, NFT, rules]))
    }

    fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    fn settings(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It is gone already, or stays: nothing else can be done.
        drop(fs::remove_dir_all(self.settings()));
        drop(ip(&["netns", "delete", &self.name]));
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new(IP).args(arguments))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output =
        output.with_context(|| format!("{command:?} does not start (Debian: iproute2, nftables)"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    Ok(())
}
