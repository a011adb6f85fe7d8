//! Large bodies, as fast as they go. The time is from before the first connection until the last byte.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::crowd::Crowd;
use super::scene::{Done, Scene, Work};
use crate::figure::Metric;
use crate::limits::TRANSFER_WITHIN;
use crate::number::mib;
use crate::origin::{UPLOAD, UPLOAD_BODY, bulk};
use crate::visitor::{Purpose, seconds};

/// Several downloads at once.
pub async fn downloads(scene: &Scene, streams: u32, all_bytes: u64) -> Result<Done> {
    let bytes = all_bytes / u64::from(streams);
    let mut crowd = Crowd::new("downloads");
    let started = Instant::now();
    for _ in 0..streams {
        crowd.add(download(scene.clone(), bytes));
    }
    crowd.outcomes().await.into_iter().collect::<Result<()>>()?;
    Ok(moved(bytes * u64::from(streams), started))
}

/// One upload, until the origin has said that all of it was right.
pub async fn upload(scene: &Scene, bytes: u64) -> Result<Done> {
    let started = Instant::now();
    let whole = async {
        let mut visitor = scene.target.connect(Purpose::Bulk).await?;
        let length = format!("Content-Length: {bytes}\r\n");
        visitor.send(&scene.target.request("POST", UPLOAD, &length)).await?;
        visitor.send_body(&scene.pattern, bytes).await?;
        let head = visitor.head().await?;
        visitor.short_body(head).await
    };
    let answer = tokio::time::timeout(TRANSFER_WITHIN, whole).await.with_context(too_slow)??;
    ensure!(answer == UPLOAD_BODY, "another answer than the origin's");
    Ok(moved(bytes, started))
}

/// One download of its own.
pub async fn download(scene: Scene, bytes: u64) -> Result<()> {
    let whole = async {
        let mut visitor = scene.target.connect(Purpose::Bulk).await?;
        visitor.send(&scene.target.request("GET", &bulk(bytes), "")).await?;
        let head = visitor.head().await?;
        ensure!(head.body_bytes == bytes, "{} bytes are announced instead of {bytes}", head.body_bytes);
        visitor.large_body(head, &scene.pattern, |_| ()).await
    };
    tokio::time::timeout(TRANSFER_WITHIN, whole).await.with_context(too_slow)?
}

fn moved(bytes: u64, started: Instant) -> Done {
    let rate = mib(bytes) / started.elapsed().as_secs_f64();
    Done { figures: vec![(Metric::MibPerSecond, rate)], work: Work::Bytes(bytes), trouble: None }
}

fn too_slow() -> String {
    format!("a transfer took more than {}", seconds(TRANSFER_WITHIN))
}
