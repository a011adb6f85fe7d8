//! A process without descriptors keeps its listener, does not spin, and serves again once it has some.

use std::fs::{self, File};
use std::process::Stdio;

use tokio::net::TcpSocket;
use tokio::time::{Instant, timeout};

use super::{LONG, answers, echo, limits, run, until};
use crate::limits::ACCEPT_BACKOFF;

const NAME: &str = "accept::tests::descriptors::a_lack_of_descriptors_is_survived_without_a_spin";
const FEW_DESCRIPTORS: u64 = 64;

/// Runs itself again in a process that may have few descriptors: no other test shares that lack.
#[tokio::test]
async fn a_lack_of_descriptors_is_survived_without_a_spin() {
    if descriptors_max() <= FEW_DESCRIPTORS {
        return survives().await;
    }
    let limited = format!("ulimit -n {FEW_DESCRIPTORS} && exec \"$0\" --exact {NAME}");
    let child = tokio::process::Command::new("sh")
        .args(["-c", &limited])
        .arg(std::env::current_exe().unwrap())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(LONG, child).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn descriptors_max() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    // "unlimited" is as good as many.
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(u64::MAX)
}

async fn survives() {
    let running = run(limits(100, 100), echo);
    // The visitor's socket must exist before the last descriptor is gone.
    let visitor = TcpSocket::new_v4().unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }

    let begin = Instant::now();
    let mut stream = visitor.connect(running.address).await.unwrap();
    until(|| running.gate.counts().failed >= 4).await;
    assert!(begin.elapsed() >= ACCEPT_BACKOFF * 3, "it did not wait between attempts");
    assert_eq!(running.gate.counts().accepted, 0);

    drop(taken);
    assert!(answers(&mut stream).await);
    assert_eq!(running.gate.counts().open, 1);
}
