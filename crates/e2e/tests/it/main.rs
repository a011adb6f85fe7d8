//! The whole product as its users meet it: real processes, real sockets, one file for what somebody relies on.
#![expect(clippy::panic_in_result_fn, reason = "a test fails by a panic")]

mod answers;
mod connections;
mod drain;
mod faults;
mod fencing;
mod first_use;
mod git;
mod grpc;
mod handling;
mod headers;
mod hold;
mod honesty;
mod host_header;
mod http;
mod http2;
mod load_balancer;
mod metering;
mod overload;
mod plans;
mod pool;
mod recovery;
mod refusals;
mod reuse;
mod revocation;
mod secrets;
mod streaming;
mod tcp;
mod terminate;
mod tls;
mod transfers;
mod udp;
mod upstream_floods;
mod upstreams;
mod websocket_ends;
mod websocket_http2;
