//! Connections that a port has.

use std::fs;

use anyhow::{Context as _, Result};

/// The state of an established connection in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";

/// Established connections whose local end is this port of IPv4: those that its server has taken.
pub fn connections_taken(port: u16) -> Result<u64> {
    let text = fs::read_to_string("/proc/net/tcp").context("/proc/net/tcp cannot be read")?;
    Ok(count(&text, port))
}

fn count(table: &str, port: u16) -> u64 {
    let ending = format!(":{port:04X}");
    let taken = table.lines().skip(1).filter(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let is_local = words.next().is_some_and(|local| local.ends_with(&ending));
        is_local && words.nth(1) == Some(ESTABLISHED)
    });
    taken.count() as u64
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn only_established_ones_at_this_end_count() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
                     0: 0100007F:20FB 00000000:0000 0A 0\n\
                     1: 0100007F:20FB 0100007F:D431 01 0\n\
                     2: 0100007F:D431 0100007F:20FB 01 0\n\
                     3: 0100007F:20FB 0100007F:D433 06 0\n";
        assert_eq!(count(table, 8443), 1);
        assert_eq!(count(table, 443), 0);
    }
}
