//! SIGTERM and SIGINT, which ask a program to end. On other systems: Ctrl-C.

use std::io;

/// What asked the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: a service manager.
    Terminate,
    /// SIGINT: Ctrl-C in a terminal.
    Interrupt,
}

/// Listens from the moment it is made; from then on these signals no longer end the process by themselves.
/// Keep it: the first signal drains, the second one stops.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Starts to listen. Call it inside a runtime, and before anything slow.
    ///
    /// # Errors
    /// The system refuses the handler.
    #[cfg(unix)]
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Starts to listen. Call it inside a runtime, and before anything slow.
    ///
    /// # Errors
    /// None on this system.
    #[cfg(not(unix))]
    pub fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// The next signal that asks the program to end. Cancel safe.
    #[cfg(unix)]
    pub async fn terminate(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }

    /// The next signal that asks the program to end. Cancel safe.
    #[cfg(not(unix))]
    pub async fn terminate(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            // No console to hear from: nobody can ask.
            std::future::pending::<()>().await;
        }
        Signal::Interrupt
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{Signal, Signals};

    #[tokio::test]
    async fn both_signals_are_heard_and_the_process_lives_on() {
        let mut signals = Signals::listen().unwrap();
        for (name, expected) in [("TERM", Signal::Terminate), ("INT", Signal::Interrupt)] {
            let me = std::process::id().to_string();
            let kill = tokio::process::Command::new("kill").args(["-s", name, &me]).status().await.unwrap();
            assert!(kill.success());
            assert_eq!(signals.terminate().await, expected);
        }
    }
}
