//! Names for endpoints that nobody chose.

use adit_domain::{Hostname, Label};

use crate::limits::FRESH_NAMES;

/// Crockford's base 32: no letters that are easily taken for others.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters of a name: 50 random bits, so that nobody finds an endpoint by trying names.
const CHARACTERS: usize = 10;

/// Random names one label below `domain`. Fewer than asked for only if the domain is too long for them.
pub(crate) fn fresh(domain: &Hostname) -> Result<Vec<Hostname>, getrandom::Error> {
    let mut bytes = [0; FRESH_NAMES * CHARACTERS];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.chunks(CHARACTERS).filter_map(|chunk| name(domain, chunk)).collect())
}

fn name(domain: &Hostname, random: &[u8]) -> Option<Hostname> {
    let letter = |byte: &u8| ALPHABET.get(usize::from(byte & 31)).copied().map(char::from);
    let label: String = random.iter().filter_map(letter).collect();
    domain.child(&Label::parse(&label).ok()?).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::collections::BTreeSet;

    use adit_domain::Hostname;

    use super::fresh;
    use crate::limits::FRESH_NAMES;

    #[test]
    fn names_are_one_label_below_the_domain_and_all_different() {
        let domain = Hostname::parse("example.com").unwrap();
        let names: Vec<_> = (0..100).flat_map(|_| fresh(&domain).unwrap()).collect();
        assert_eq!(names.len(), 100 * FRESH_NAMES);
        assert!(names.iter().all(|name| name.is_direct_child_of(&domain)));
        assert!(names.iter().all(|name| name.as_str().len() == "0123456789.example.com".len()));
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 100 * FRESH_NAMES);
    }
}
