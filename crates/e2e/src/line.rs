//! A line between two computers: it is long, carries so much, and loses packets.
//!
//! Few kernels of test machines can do that themselves. They can wrap each packet of a device in a datagram (VXLAN,
//! RFC 7348); a thread of ours receives it at the far end, keeps it as long as the line would, and hands it to the kernel
//! there. TCP above it is the kernel's own on both sides.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::pattern::Pattern;

/// Where kernels take wrapped packets.
pub(crate) const VXLAN_PORT: u16 = 4789;

/// Where the line takes them.
pub(crate) const LINE_PORT: u16 = 4790;

/// What one takes up at most.
const PACKET_BYTES_MAX: usize = 2048;

/// Room for those that come while the line's thread has to wait for a processor.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// What waits for the line before packets are lost for want of room: the larger of both.
const QUEUE: Duration = Duration::from_millis(50);
const QUEUE_PACKETS: u64 = 32;

/// What a line is like, in both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quality {
    /// Until an answer can be there.
    pub round_trip: Duration,
    /// What it carries.
    pub bits_per_s: u64,
    /// Packets of a thousand that are lost on it.
    pub lost_per_mille: u64,
}

impl Quality {
    /// How long so many bytes take to get onto it.
    fn time(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes * 8 * 1_000_000_000 / self.bits_per_s.max(1))
    }

    /// How long a packet may wait for those before it.
    fn patience(&self) -> Duration {
        QUEUE.max(self.time(QUEUE_PACKETS * PACKET_BYTES_MAX as u64))
    }
}

/// A line, carried by a thread of its own. Dropping it cuts it.
#[derive(Debug)]
pub struct Line {
    quality: watch::Sender<Quality>,
    _alive: oneshot::Sender<()>,
}

impl Line {
    /// Carries packets to where these sockets are.
    pub(crate) fn start(ends: [std::net::UdpSocket; 2], quality: Quality) -> Result<Self> {
        let (quality, qualities) = watch::channel(quality);
        let (alive, cut) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            runtime.block_on(async {
                let [here, there] = ends;
                let one = Direction::towards(here, qualities.clone(), Pattern::new(1));
                let other = Direction::towards(there, qualities.clone(), Pattern::new(2));
                tokio::select! {
                    // Nobody has it any more.
                    _ = cut => {}
                    // The tests notice.
                    _ = one => {}
                    _ = other => {}
                }
            });
        };
        std::thread::Builder::new().name("line".into()).spawn(run).context("no thread for a line")?;
        Ok(Self { quality, _alive: alive })
    }

    /// What it is like from now on. Packets under way arrive as they would have.
    pub fn becomes(&self, quality: Quality) {
        self.quality.send_replace(quality);
    }
}

/// Packets on their way to one end.
struct Direction {
    quality: watch::Receiver<Quality>,
    under_way: VecDeque<(Instant, Vec<u8>)>,
    /// When the last packet is on the line.
    free_at: Instant,
    dice: Pattern,
}

impl Direction {
    async fn towards(
        end: std::net::UdpSocket,
        quality: watch::Receiver<Quality>,
        dice: Pattern,
    ) -> io::Result<()> {
        end.set_nonblocking(true)?;
        SockRef::from(&end).set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        let kernel = SocketAddr::new(end.local_addr()?.ip(), VXLAN_PORT);
        let socket = UdpSocket::from_std(end)?;
        let mut direction = Self { quality, under_way: VecDeque::new(), free_at: Instant::now(), dice };
        let mut packet = [0; PACKET_BYTES_MAX];
        loop {
            let next = direction.under_way.front().map_or_else(Instant::now, |(due, _)| *due);
            tokio::select! {
                biased;
                () = sleep_until(next), if !direction.under_way.is_empty() => {
                    while let Some(packet) = direction.arrived() {
                        // The device may be gone.
                        drop(socket.send_to(&packet, kernel).await);
                    }
                }
                came = socket.recv(&mut packet) => {
                    direction.depart(packet.get(..came?).unwrap_or_default());
                }
            }
        }
    }

    fn depart(&mut self, packet: &[u8]) {
        let (quality, now) = (*self.quality.borrow(), Instant::now());
        let begins = self.free_at.max(now);
        if begins - now > quality.patience() || self.dice.below(1000) < quality.lost_per_mille {
            return;
        }
        self.free_at = begins + quality.time(packet.len() as u64);
        // Packets do not overtake each other when the line gets shorter.
        let before = self.under_way.back().map_or(now, |(due, _)| *due);
        self.under_way.push_back(((self.free_at + quality.round_trip / 2).max(before), packet.to_vec()));
    }

    fn arrived(&mut self) -> Option<Vec<u8>> {
        let is_there = self.under_way.front().is_some_and(|(due, _)| *due <= Instant::now());
        if is_there { self.under_way.pop_front().map(|(_, packet)| packet) } else { None }
    }
}
