//! What is fuzzed, and what must hold whatever the bytes are. Each function is one target: it takes hostile bytes and
//! panics when a rule is broken. `targets/` hands libFuzzer's bytes over, `cargo xtask fuzz` builds and runs them.
#![forbid(unsafe_code)]

mod connection;
mod exchange;
mod http;
mod http2;
mod node;
mod nouns;
mod relay;
mod wire;

pub use connection::{hello, mux, mux_frames, proxy};
pub use exchange::{certificates, exchange};
pub use http::{authority, headers, location, upstream, visitor, websocket};
pub use http2::{frames, upstream_http2, visitor_http2};
pub use node::{sticky, usage};
pub use nouns::{addresses, api_key, config, hostname};
pub use wire::{agent_preface, capability, control, record, server_preface, stream_header};

/// Stops at four bytes that no random input hits, and that coverage leads to within seconds.
///
/// # Panics
/// For these bytes: that is what it is for.
pub fn planted(data: &[u8]) {
    if let [b'a', b'd', b'i', b't', ..] = data {
        panic!("the planted failure");
    }
}
