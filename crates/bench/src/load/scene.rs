//! What every load gets, and what it gives back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::plan::Plan;
use crate::figure::{Figures, Metric};
use crate::histogram::Histogram;
use crate::number::{float, micros};
use crate::origin::{SENT, SMALL};
use crate::pattern::Pattern;
use crate::visitor::{Purpose, Target};

/// Where a load runs.
#[derive(Clone)]
pub struct Scene {
    /// How much.
    pub plan: Plan,
    /// The system's public side.
    pub target: Target,
    /// The origin itself, to ask what it has sent.
    pub origin: Target,
    /// What bodies consist of.
    pub pattern: Pattern,
}

/// What a load gives back.
#[derive(Debug, Default)]
pub struct Done {
    /// What it noted.
    pub figures: Figures,
    /// What CPU time is counted against.
    pub work: Work,
    /// The first thing that went wrong, where the load went on.
    pub trouble: Option<String>,
}

/// What CPU time is counted against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Work {
    /// Nothing: it says nothing here.
    #[default]
    None,
    /// Bytes of bodies.
    Bytes(u64),
    /// Requests or connections.
    Each(u64),
}

impl Scene {
    /// The small request.
    pub fn small_request(&self) -> Arc<[u8]> {
        self.target.request("GET", SMALL, "").into()
    }

    /// The small request on a connection that is closed after it.
    pub fn last_request(&self) -> Arc<[u8]> {
        self.target.request("GET", SMALL, "Connection: close\r\n").into()
    }

    /// Bytes of large bodies that the origin has sent since it runs.
    pub async fn sent_bytes(&self) -> Result<u64> {
        let mut visitor = self.origin.connect(Purpose::Small).await?;
        visitor.send(&self.origin.request("GET", SENT, "")).await?;
        let head = visitor.head().await?;
        let body = visitor.short_body(head).await?;
        std::str::from_utf8(&body)?.parse().context("the origin does not know what it has sent")
    }
}

impl Done {
    /// Percentiles and errors of requests, beside a rate of them.
    pub fn requests(rate: Metric, times: &Histogram, took: Duration, errors: Errors) -> Self {
        let mut figures = vec![(rate, float(times.count()) / took.as_secs_f64())];
        figures.extend(percentiles(times));
        figures.push((Metric::Errors, float(errors.count)));
        Self { figures, work: Work::Each(times.count()), trouble: errors.first }
    }
}

/// Three percentiles.
pub fn percentiles(times: &Histogram) -> [(Metric, f64); 3] {
    [
        (Metric::P50Micros, micros(times.per_mille(500))),
        (Metric::P99Micros, micros(times.per_mille(990))),
        (Metric::P999Micros, micros(times.per_mille(999))),
    ]
}

/// What went wrong while a load went on.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    /// How often.
    pub count: u64,
    /// What it was the first time.
    pub first: Option<String>,
}

impl Errors {
    /// Counts one.
    pub fn note(&mut self, error: &anyhow::Error) {
        self.count += 1;
        self.first.get_or_insert_with(|| format!("{error:#}"));
    }

    /// Counts those of another.
    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.take().or(other.first);
    }
}
