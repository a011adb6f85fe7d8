//! The certificate with which the agent ends visitors' TLS itself: two PEM files, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use adit_domain::{Hostname, Secret, Timestamp};
use adit_net::limits::PEM_BYTES_MAX;
use adit_net::tls::{CertificateSource, PemError, PemFiles};
use adit_process::clock::wall_micros;
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::event::{Emitter, Event};
use crate::limits::CERTIFICATE_LOOK;
use crate::private_file::{self, ReadError};
use crate::setback::chain;

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// One of the files is not what it should be.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The key cannot be read, or others can read it too.
    #[error(transparent)]
    Key(#[from] ReadError),
    /// There is no key.
    #[error("{} does not exist", .0.display())]
    NoKey(PathBuf),
}

/// A certificate chain and its key. What was loaded last is in use until the files hold another pair that can be.
#[derive(Debug)]
pub(crate) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    loaded: RwLock<Loaded>,
    /// Under which name visitors come, as far as that is known.
    name: watch::Sender<Option<Hostname>>,
}

#[derive(Debug)]
struct Loaded {
    pair: PemFiles,
    stamp: Stamp,
}

/// When chain and key were written, and how long they are. A file that is not there has none.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Certificate {
    /// Reads a chain, the server's own certificate first, and its key.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub(crate) fn load(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        // Before the files are read: what changes in between is seen by the next look.
        let stamp = [chain, key].map(|path| std::fs::metadata(path).ok().and_then(|file| written(&file)));
        let loaded = RwLock::new(Loaded { pair: read(chain, key)?, stamp });
        let (chain, key) = (chain.to_owned(), key.to_owned());
        Ok(Self { chain, key, loaded, name: watch::Sender::new(None) })
    }

    /// Visitors come under this name.
    pub(crate) fn serves(&self, name: &Hostname) {
        self.name.send_if_modified(|known| {
            let is_new = known.as_ref() != Some(name);
            if is_new {
                *known = Some(name.clone());
            }
            is_new
        });
    }

    /// Reads the files again when they have changed, and tells the user of what visitors will not like. Never ends.
    pub(crate) async fn watch(self: Arc<Self>, emitter: Emitter) {
        let mut name = self.name.subscribe();
        let (mut told, mut torn) = (Vec::new(), None);
        loop {
            let troubles = self.troubles(name.borrow_and_update().as_ref());
            for trouble in troubles.iter().filter(|trouble| !told.contains(*trouble)) {
                emitter.emit(Event::Warning { message: trouble.clone() });
            }
            told = troubles;
            tokio::select! {
                () = sleep(CERTIFICATE_LOOK) => self.look(&mut torn, &emitter).await,
                Ok(()) = name.changed() => {}
            }
        }
    }

    /// `torn` is the state of the files in which they did not fit together, and whether the user knows.
    async fn look(&self, torn: &mut Option<(Stamp, Told)>, emitter: &Emitter) {
        let stamp = [stamp(&self.chain).await, stamp(&self.key).await];
        if stamp == self.loaded().stamp {
            *torn = None;
            return;
        }
        match read(&self.chain, &self.key) {
            Ok(pair) => {
                tracing::info!(certificate = %self.chain.display(), "the certificate was renewed");
                *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Loaded { pair, stamp };
                *torn = None;
            }
            // A renewal writes one file after the other. What has not become a pair by the next look is a mistake.
            Err(error) => {
                let told = match torn {
                    Some((before, told)) if *before == stamp => {
                        if *told == Told::Not {
                            let message = format!("the old certificate stays in use: {}", chain(&error));
                            emitter.emit(Event::Warning { message });
                        }
                        Told::Once
                    }
                    _ => Told::Not,
                };
                *torn = Some((stamp, told));
            }
        }
    }

    /// What visitors will not like.
    fn troubles(&self, name: Option<&Hostname>) -> Vec<String> {
        let loaded = self.loaded();
        let mut troubles = Vec::new();
        let (file, now) = (self.chain.display(), Timestamp::from_micros(wall_micros()));
        if let Some(end) = loaded.pair.expires_at().filter(|end| *end <= now) {
            troubles.push(format!("the certificate in {file} expired at {end}: visitors will not accept it"));
        }
        if let Some(name) = name.filter(|name| !loaded.pair.covers(name)) {
            troubles
                .push(format!("the certificate in {file} is not for {name}: visitors will not accept it"));
        }
        troubles
    }

    fn loaded(&self) -> RwLockReadGuard<'_, Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CertificateSource for Certificate {
    fn certificate(&self, name: Option<&Hostname>) -> Option<Arc<CertifiedKey>> {
        self.loaded().pair.certificate(name)
    }
}

/// Whether the user knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Not,
    Once,
}

fn read(chain: &Path, key: &Path) -> Result<PemFiles, CertificateError> {
    let text = private_file::read(key, PEM_BYTES_MAX)?;
    let text = text.ok_or_else(|| CertificateError::NoKey(key.to_owned()))?;
    Ok(PemFiles::load_with_key(chain, key, &Secret::new(text.into_bytes()))?)
}

async fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    written(&tokio::fs::metadata(path).await.ok()?)
}

fn written(file: &std::fs::Metadata) -> Option<(SystemTime, u64)> {
    Some((file.modified().ok()?, file.len()))
}
