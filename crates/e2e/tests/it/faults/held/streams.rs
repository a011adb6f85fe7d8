//! Streams of every kind that are open at the same time, and go on until they are cut or told to end.

use std::time::{Duration, Instant};

use adit_e2e::until;
use adit_process::tasks::{Task, Tasks};
use adit_testkit::ledger::{End, Severed};
use anyhow::{Context as _, Result, ensure};
use tokio::sync::watch;
use tokio::time::timeout_at;

use super::kinds::{call, download, events, pass, seal, upload, websocket, websocket_in_http2};
use super::place::Place;
use super::speech::{Course, Ear, Heard, Mouth};

/// All streams have begun, on a machine that is busy.
const CARRIED_WITHIN: Duration = Duration::from_mins(1);

/// One stream of each kind.
pub(super) struct Held {
    course: watch::Sender<Course>,
    open: Vec<Open>,
}

struct Open {
    what: &'static str,
    heard: Heard,
    /// In order is `Ok`.
    ends: Task<(Result<()>, Instant)>,
}

impl Held {
    /// Opens all of them, and waits until each has carried so much.
    pub(super) async fn open(place: &Place, seed: u64, bytes: u64) -> Result<Self> {
        let mut held = Self { course: watch::channel(Course::On).0, open: Vec::new() };
        let (web, origin) = (|| place.web.clone(), || place.origin.clone());
        held.add("GET", seed, |_, ear| download(web(), ear, seed));
        held.add("POST", seed, |mouth, ear| upload(web(), mouth, (ear.heard, origin()), seed));
        held.add("SSE", seed, |mouth, ear| events(web(), mouth, (ear, origin()), seed));
        held.add("WebSocket", seed, |mouth, ear| websocket(web(), mouth, ear));
        held.add("WebSocket over HTTP/2", seed, |mouth, ear| websocket_in_http2(web(), mouth, ear));
        held.add("gRPC", seed, |mouth, ear| call(place.calls.clone(), mouth, ear));
        held.add("tcp", seed, |mouth, ear| pass(place.tcp, mouth, ear));
        let (service, https) = (place.sealed.clone(), place.stack.https());
        held.add("tls", seed, |mouth, ear| seal(service, https, mouth, ear));
        held.goes_on(bytes).await?;
        Ok(held)
    }

    fn add<F>(&mut self, what: &'static str, seed: u64, stream: impl FnOnce(Mouth, Ear) -> F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let mouth = Mouth::new(seed, self.course.subscribe());
        let ear = Ear::new(seed, self.course.subscribe());
        let heard = ear.heard.clone();
        let stream = stream(mouth, ear);
        let ends = Tasks::new("held").spawn(what, async move { (stream.await, Instant::now()) });
        self.open.push(Open { what, heard, ends });
    }

    /// Waits until each has carried so much more; none may have ended.
    pub(super) async fn goes_on(&mut self, more: u64) -> Result<()> {
        let open = &self.open;
        let before: Vec<_> = open.iter().map(|open| open.heard.bytes()).collect();
        let ended = || open.iter().any(|open| open.ends.is_finished());
        let enough = || open.iter().zip(&before).all(|(open, before)| open.heard.bytes() >= before + more);
        let carried = until("all streams carry", CARRIED_WITHIN, async || enough() || ended()).await;
        let so_far = || open.iter().map(|open| (open.what, open.heard.bytes())).collect::<Vec<_>>();
        carried.with_context(|| format!("{:?}", so_far()))?;
        for open in &mut self.open {
            if open.ends.is_finished() {
                let (ended, _) = (&mut open.ends).await?;
                ended.with_context(|| format!("{} ended early", open.what))?;
                ensure!(false, "{} ended early, and in order", open.what);
            }
        }
        Ok(())
    }

    /// Waits until one of them has ended.
    pub(super) async fn begins_to_end(&self, within: Duration) -> Result<()> {
        let ended = async || self.open.iter().any(|open| open.ends.is_finished());
        until("the first stream ends", within, ended).await
    }

    /// What all of them do from now on.
    pub(super) fn go(&self, course: Course) {
        self.course.send_replace(course);
    }

    /// How each ended after that moment, looked at for so long.
    pub(super) async fn severed(&mut self, since: Instant, look: Duration) -> Result<Vec<Severed>> {
        let mut severed = Vec::new();
        for open in &mut self.open {
            let (end, took) = match timeout_at((since + look).into(), &mut open.ends).await {
                Ok(ended) => {
                    let (ended, at) = ended?;
                    let end = ended.err().map_or(End::Whole, |error| End::Cut(format!("{error:#}")));
                    (end, at.saturating_duration_since(since))
                }
                Err(_) => (End::Silent, look),
            };
            let (what, carried_bytes) = (open.what.to_owned(), open.heard.bytes());
            severed.push(Severed { what, carried_bytes, wrong: open.heard.wrong(), end, took });
        }
        Ok(severed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.open.iter().for_each(|open| open.ends.abort());
    }
}
