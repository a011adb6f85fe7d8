//! A few public ports that no other test on this computer uses.

use std::net::{TcpListener, UdpSocket};
use std::process;

use anyhow::{Context as _, Result};

/// Below the ports that the system gives to whoever asks for any.
const FIRST: u16 = 20_000;
const SLOTS: u16 = 1_500;
const PORTS: u16 = 8;

/// Ports for the endpoints of one server. Its first port is held as a UDP socket, which tells other tests to look
/// elsewhere; the others are free.
#[derive(Debug)]
pub struct PortSlot {
    _held: UdpSocket,
    first: u16,
}

impl PortSlot {
    /// The next slot that is free, looked for from a place that depends on the process.
    pub fn take() -> Result<Self> {
        let start = u16::try_from(process::id() % u32::from(SLOTS))?;
        let slots = (0..SLOTS).map(|n| FIRST + (start + n) % SLOTS * PORTS);
        let mut free = slots.filter_map(|base| {
            let held = UdpSocket::bind(("127.0.0.1", base)).ok()?;
            let is_free = (base + 1..base + PORTS).all(|port| {
                let here = ("127.0.0.1", port);
                TcpListener::bind(here).is_ok() && UdpSocket::bind(here).is_ok()
            });
            is_free.then_some(Self { _held: held, first: base + 1 })
        });
        free.next().context("no free ports")
    }

    /// Its ports, as the server is told.
    #[must_use]
    pub fn range(&self) -> String {
        format!("{}-{}", self.first, self.last())
    }

    /// The lowest port.
    #[must_use]
    pub const fn first(&self) -> u16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub const fn last(&self) -> u16 {
        self.first + PORTS - 2
    }
}
