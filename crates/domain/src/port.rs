//! Public ports: numbers that endpoints without a host name in their protocol are found by.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use thiserror::Error;

/// The public ports that an installation gives to endpoints, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortRange {
    first: NonZeroU16,
    last: NonZeroU16,
}

/// Why a text is not a range of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PortRangeError {
    /// Not two numbers with a hyphen between them.
    #[error("it must be two ports from 1 to 65535, as in 20000-20100")]
    Form,
    /// The second number is below the first.
    #[error("its first port must not be above its last")]
    Order,
}

impl PortRange {
    /// The ports from `first` to `last`.
    ///
    /// # Errors
    /// [`PortRangeError::Order`] if there are none.
    pub const fn new(first: NonZeroU16, last: NonZeroU16) -> Result<Self, PortRangeError> {
        if first.get() > last.get() { Err(PortRangeError::Order) } else { Ok(Self { first, last }) }
    }

    /// Only this port.
    #[must_use]
    pub const fn only(port: NonZeroU16) -> Self {
        Self { first: port, last: port }
    }

    /// The lowest port.
    #[must_use]
    pub const fn first(self) -> NonZeroU16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub const fn last(self) -> NonZeroU16 {
        self.last
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub const fn contains(self, port: NonZeroU16) -> bool {
        self.first.get() <= port.get() && port.get() <= self.last.get()
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').ok_or(PortRangeError::Form)?;
        Self::new(port(first)?, port(last)?)
    }
}

/// Decimal digits only: no sign, no space.
fn port(text: &str) -> Result<NonZeroU16, PortRangeError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(PortRangeError::Form)
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::num::NonZeroU16;

    use super::{PortRange, PortRangeError};

    #[test]
    fn what_people_write() {
        for text in ["20000-20100", "1-65535", "22-22"] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), text);
        }
        for (text, error) in [
            ("", PortRangeError::Form),
            ("20000", PortRangeError::Form),
            ("20000-", PortRangeError::Form),
            ("0-10", PortRangeError::Form),
            ("+1-10", PortRangeError::Form),
            ("1 - 10", PortRangeError::Form),
            ("1-65536", PortRangeError::Form),
            ("1-2-3", PortRangeError::Form),
            ("11-10", PortRangeError::Order),
        ] {
            assert_eq!(text.parse::<PortRange>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn both_ends_belong_to_it() {
        let range: PortRange = "20-22".parse().unwrap();
        let inside = [19, 20, 21, 22, 23].map(|port| range.contains(NonZeroU16::new(port).unwrap()));
        assert_eq!(inside, [false, true, true, true, false]);
        assert_eq!((range.first().get(), range.last().get()), (20, 22));
        let only = PortRange::only(NonZeroU16::MIN);
        assert!(only.contains(NonZeroU16::MIN) && !only.contains(range.first()));
    }
}
