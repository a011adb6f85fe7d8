//! When a certificate is valid, read from its DER (RFC 5280, section 4.1). Only for certificates of our own: to warn,
//! or to replace one in time. Verification is rustls' business.

use std::time::Duration;

use adit_domain::Timestamp;
use rustls::pki_types::CertificateDer;

/// The period of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The period, unless the certificate is not built in the usual way.
pub(super) fn read(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let mut outer = Der(Der(certificate.as_ref()).take(SEQUENCE)?);
    let mut fields = Der(outer.take(SEQUENCE)?);
    fields.take(VERSION)?;
    fields.take(INTEGER)?; // serial number
    fields.take(SEQUENCE)?; // signature algorithm
    fields.take(SEQUENCE)?; // issuer
    let mut period = Der(fields.take(SEQUENCE)?);
    Some(Validity { not_before: period.time()?, not_after: period.time()? })
}

struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next element, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81 => rest.split_first().map(|(byte, rest)| (usize::from(*byte), rest))?,
            0x82 => rest
                .split_first_chunk::<2>()
                .map(|(bytes, rest)| (usize::from(u16::from_be_bytes(*bytes)), rest))?,
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (*found == tag).then_some(content)
    }

    fn time(&mut self) -> Option<Timestamp> {
        let tag = *self.0.first()?;
        let content = self.take(tag)?;
        let text = std::str::from_utf8(content).ok().filter(|text| text.is_ascii())?;
        match tag {
            // RFC 5280, section 4.1.2.5.1: two digits of the year, 50 and above are 19xx.
            UTC_TIME => {
                let century = if number(text.get(..2)?)? < 50 { "20" } else { "19" };
                time(&format!("{century}{text}"))
            }
            GENERALIZED_TIME => time(text),
            _ => None,
        }
    }
}

/// `YYYYMMDDHHMMSSZ`.
fn time(text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.len() == 14)?;
    let part = |from: usize, to: usize| number(digits.get(from..to)?);
    let days = days_since_1970(part(0, 4)?, part(4, 6)?, part(6, 8)?)?;
    let of_day = part(8, 10)?.checked_mul(3600)?.checked_add(part(10, 12)?.checked_mul(60)?)?;
    let seconds = u64::from(days).checked_mul(86_400)?.checked_add(u64::from(of_day))?;
    let seconds = seconds.checked_add(u64::from(part(12, 14)?))?;
    Some(Timestamp::from_micros(0).plus(Duration::from_secs(seconds)))
}

fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Days of the Gregorian calendar; `None` before 1970.
fn days_since_1970(year: u32, month: u32, day: u32) -> Option<u32> {
    const BEFORE_MONTH: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let month_index = usize::try_from(month.checked_sub(1)?).ok()?;
    let leaps = |years: u32| (years / 4).checked_sub(years / 100)?.checked_add(years / 400);
    let leap_days = leaps(year.checked_sub(1)?)?.checked_sub(leaps(1969)?)?;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let leap_day = u32::from(is_leap && month > 2);
    year.checked_sub(1970)?
        .checked_mul(365)?
        .checked_add(leap_days)?
        .checked_add(*BEFORE_MONTH.get(month_index)?)?
        .checked_add(leap_day)?
        .checked_add(day.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;

    use super::{read, time};

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, shown) in [
            ("19700101000000Z", "1970-01-01T00:00:00.000000Z"),
            ("20000229235959Z", "2000-02-29T23:59:59.000000Z"),
            ("20261121091241Z", "2026-11-21T09:12:41.000000Z"),
            ("21000301000000Z", "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(time(text).unwrap().to_string(), shown);
        }
        for wrong in ["", "2026", "20261121091241", "2026112109124+Z", "20261321091241Z", "19691231235959Z"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_period_of_a_real_certificate_is_found() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["demo.localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 2, 28);
        params.not_after = rcgen::date_time_ymd(2050, 3, 1);
        let validity = read(params.self_signed(&key).unwrap().der()).unwrap();
        assert_eq!(validity.not_before.to_string(), "2026-02-28T00:00:00.000000Z");
        assert_eq!(validity.not_after.to_string(), "2050-03-01T00:00:00.000000Z");
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _answer = read(&CertificateDer::from(bytes));
        }
    }
}
