//! K1 for streams that are open for long: whoever holds one when something dies sees that it was cut, and soon.

use std::time::Duration;

/// How a stream ended for its visitor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// In order, as if everything had been said.
    Whole,
    /// With an error: which one.
    Cut(String),
    /// Not at all, for as long as anybody looked.
    Silent,
}

/// A stream that was open when something died.
#[derive(Clone, Debug)]
pub struct Severed {
    /// What kind of stream.
    pub what: String,
    /// What its visitor has got of it.
    pub carried_bytes: u64,
    /// What of that was not what had been sent.
    pub wrong: Option<String>,
    /// How it ended.
    pub end: End,
    /// How long after the death.
    pub took: Duration,
}

impl Severed {
    /// What is wrong with how it ended, if it had to be cut within a time.
    #[must_use]
    pub fn violation(&self, within: Duration) -> Option<String> {
        let why = match &self.end {
            _ if self.wrong.is_some() => format!("carried what was not sent: {:?}", self.wrong),
            _ if self.carried_bytes == 0 => "had carried nothing".to_owned(),
            End::Whole => "ended as if it were whole".to_owned(),
            End::Silent => format!("is open and silent after {:?}", self.took),
            End::Cut(how) if self.took > within => format!("was cut only after {:?}: {how}", self.took),
            End::Cut(_) => return None,
        };
        Some(format!("{}: {why}", self.what))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{End, Severed};

    const WITHIN: Duration = Duration::from_secs(2);

    fn cut() -> Severed {
        let end = End::Cut("reset".to_owned());
        Severed { what: "a stream".to_owned(), carried_bytes: 1, wrong: None, end, took: WITHIN }
    }

    fn found(severed: &Severed) -> String {
        severed.violation(WITHIN).unwrap_or_default()
    }

    #[test]
    fn a_stream_that_was_cut_in_time_is_fine() {
        assert_eq!(found(&cut()), "");
    }

    #[test]
    fn an_end_in_order_and_silence_are_found() {
        let whole = Severed { end: End::Whole, ..cut() };
        assert_eq!(found(&whole), "a stream: ended as if it were whole");
        let silent = Severed { end: End::Silent, ..cut() };
        assert_eq!(found(&silent), "a stream: is open and silent after 2s");
    }

    #[test]
    fn a_late_cut_a_wrong_byte_and_an_idle_stream_are_found() {
        let late = Severed { took: WITHIN + Duration::from_millis(1), ..cut() };
        assert_eq!(found(&late), "a stream: was cut only after 2.001s: reset");
        let wrong = Severed { wrong: Some("byte 7".to_owned()), ..cut() };
        assert!(found(&wrong).contains("not sent"), "{}", found(&wrong));
        let idle = Severed { carried_bytes: 0, ..cut() };
        assert_eq!(found(&idle), "a stream: had carried nothing");
    }
}
