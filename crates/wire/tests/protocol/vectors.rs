//! The files of `docs/vectors/`, which were not made with this crate.

macro_rules! vectors {
    ($($name:ident = $file:literal;)+) => {$(
        pub fn $name() -> Vec<u8> {
            parse(include_str!(concat!("../../../../docs/vectors/", $file, ".hex")))
        }
    )+};
}

vectors! {
    agent_preface = "agent-preface";
    bind = "control-bind";
    bind_default = "control-bind-default";
    bind_pooled = "control-bind-pooled";
    bind_tcp = "control-bind-tcp";
    bind_udp = "control-bind-udp";
    bind_refused = "control-bind-refused";
    bound = "control-bound";
    capability = "capability";
    capability_endpoint = "capability-endpoint";
    capability_not_strict = "capability-not-strict";
    credit = "credit";
    drain = "control-drain";
    goodbye = "control-goodbye";
    ping = "control-ping";
    pong = "control-pong";
    records_datagrams = "records-datagrams";
    records_from_agent = "records-from-agent";
    records_refused = "records-refused";
    records_timed_out = "records-timed-out";
    records_to_agent = "records-to-agent";
    refresh = "control-refresh";
    refresh_refused = "control-refresh-refused";
    refreshed = "control-refreshed";
    server_preface_ok = "server-preface-ok";
    server_preface_refused = "server-preface-refused";
    stream_header_udp = "stream-header-udp";
    stream_header_v4 = "stream-header-v4";
    stream_header_v6 = "stream-header-v6";
    unbind = "control-unbind";
    unknown = "control-unknown";
    unknown_critical = "control-unknown-critical";
}

/// A vector that must have exactly this many bytes.
pub fn exactly<const N: usize>(vector: &[u8]) -> [u8; N] {
    vector.try_into().unwrap()
}

/// Hexadecimal digits with white space; `#` starts a remark that ends with its line.
fn parse(text: &str) -> Vec<u8> {
    let digits: String = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(str::chars)
        .filter(|character| !character.is_whitespace())
        .collect();
    assert!(digits.len().is_multiple_of(2));
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}
