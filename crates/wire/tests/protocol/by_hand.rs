//! A second encoder, written from `docs/protocol.md` alone: `to_le_bytes` and nothing else.

use std::net::IpAddr;
use std::num::NonZeroU16;

use adit_domain::EndpointKind;
use adit_wire::capability::{Capability, Scope};
use adit_wire::control::Frame;
use adit_wire::preface::{AgentPreface, ServerPreface};
use adit_wire::stream::{StreamHeader, StreamKind};

/// Bytes put together field by field.
#[derive(Default)]
pub struct Bytes(Vec<u8>);

impl Bytes {
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u8(self, number: u8) -> Self {
        self.raw(&[number])
    }

    fn u16(self, number: u16) -> Self {
        self.raw(&number.to_le_bytes())
    }

    fn u32(self, number: u32) -> Self {
        self.raw(&number.to_le_bytes())
    }

    fn u64(self, number: u64) -> Self {
        self.raw(&number.to_le_bytes())
    }

    fn text(self, text: &str) -> Self {
        self.u16(u16::try_from(text.len()).unwrap()).raw(text.as_bytes())
    }
}

/// The signed part of a capability.
pub fn capability_body(capability: &Capability, key_id: u32) -> Vec<u8> {
    let seconds = |micros: i64| u32::try_from(micros / 1_000_000).unwrap();
    Bytes::default()
        .raw(b"ACP")
        .u8(1)
        .u32(key_id)
        .raw(&capability.id.to_bytes())
        .raw(&capability.tenant.to_bytes())
        .raw(&capability.api_key.to_bytes())
        .raw(&capability.agent_public_key.to_bytes())
        .raw(&match capability.scope {
            Scope::Tenant => [0; 16],
            Scope::Endpoint(endpoint) => endpoint.to_bytes(),
        })
        .u16(u16::try_from(capability.rights.bits()).unwrap())
        .u16(capability.revision)
        .u32(seconds(capability.issued_at.as_micros()))
        .u32(seconds(capability.expires_at.as_micros()))
        .u16(capability.limits.sessions_max)
        .u16(capability.limits.endpoints_max)
        .u16(capability.limits.requests_max)
        .u16(capability.limits.connections_max)
        .u16(capability.limits.arrivals_per_s_max)
        .u16(capability.limits.idle_s_max)
        .0
}

/// The agent's preface without its signature.
pub fn agent_block(preface: &AgentPreface) -> Vec<u8> {
    Bytes::default()
        .raw(b"ADITAGNT")
        .u16(preface.version_min)
        .u16(preface.version_max)
        .u32(0)
        .u64(preface.features)
        .raw(&preface.instance.to_bytes())
        .raw(preface.capability.as_bytes())
        .raw(&[0; 24])
        .0
}

/// The node's preface.
pub fn server_preface(preface: &ServerPreface) -> Vec<u8> {
    Bytes::default()
        .raw(b"ADITNODE")
        .u16(preface.status.code())
        .u16(preface.version)
        .u32(preface.retry_after_ms)
        .u64(preface.features)
        .u32(preface.heartbeat_idle_ms)
        .u32(preface.heartbeat_dead_ms)
        .u32(preface.streams_max)
        .u32(0)
        .raw(&preface.session.to_bytes())
        .raw(&preface.node.to_bytes())
        .raw(&[0; 24])
        .0
}

/// The header of a data stream.
pub fn stream_header(header: &StreamHeader) -> Vec<u8> {
    let kind = match header.kind {
        StreamKind::Http => 1,
        StreamKind::Tcp => 2,
        StreamKind::Tls => 3,
        StreamKind::Udp => 4,
    };
    let bytes = Bytes::default()
        .u8(header.version)
        .u8(0)
        .u16(kind)
        .u16(header.flags)
        .u16(header.visitor.port())
        .raw(&header.endpoint.to_bytes())
        .u64(header.epoch.0)
        .raw(&header.request.to_bytes());
    match header.visitor.ip() {
        IpAddr::V4(v4) => bytes.raw(&[0; 10]).raw(&[0xff; 2]).raw(&v4.octets()).0,
        IpAddr::V6(v6) => bytes.raw(&v6.octets()).0,
    }
}

/// A control frame of any kind.
pub fn control_frame(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    Bytes::default().u16(u16::try_from(body.len()).unwrap()).u8(kind).u8(flags).raw(body).0
}

/// A control frame of this version.
pub fn frame(frame: &Frame) -> Vec<u8> {
    let body = Bytes::default();
    let (kind, body) = match frame {
        Frame::Bind(bind) => (
            1,
            body.u32(bind.request)
                .u16(match bind.kind {
                    EndpointKind::Http => 1,
                    EndpointKind::Tcp => 2,
                    EndpointKind::Tls => 3,
                    EndpointKind::Udp => 4,
                })
                .raw(&bind.instance.to_bytes())
                .u64(bind.prior_epoch.0)
                .u16(bind.port.map_or(0, NonZeroU16::get))
                .u16(bind.upstream.code())
                .raw(&[
                    bind.pooling.map_or(0, |pooling| pooling.balance.code()),
                    bind.pooling.map_or(0, |pooling| pooling.sticky.code()),
                    bind.handling.reuse.code(),
                    bind.handling.retry.code(),
                ])
                .text(bind.hostname.as_ref().map_or("", |name| name.as_str()))
                .text(&bind.label)
                .text(&bind.host_header),
        ),
        Frame::Bound(bound) => (
            2,
            body.u32(bound.request)
                .raw(&bound.endpoint.to_bytes())
                .u64(bound.epoch.0)
                .text(bound.hostname.as_str())
                .text(&bound.url),
        ),
        Frame::BindRefused(refused) => (
            3,
            body.u32(refused.request)
                .u32(refused.retry_after_ms)
                .u16(refused.reason.code())
                .text(&refused.message),
        ),
        Frame::Unbind(unbind) => {
            (4, body.raw(&unbind.endpoint.to_bytes()).u64(unbind.epoch.0).u16(unbind.reason.code()))
        }
        Frame::Ping { nonce } => (5, body.u64(*nonce)),
        Frame::Pong { nonce } => (6, body.u64(*nonce)),
        Frame::Drain { reason, deadline_ms } => (7, body.u32(*deadline_ms).u16(reason.code())),
        Frame::Refresh { request } => (8, body.u32(*request)),
        Frame::Refreshed { request, capability } => (9, body.u32(*request).raw(capability.as_bytes())),
        Frame::RefreshRefused { request, status, retry_after_ms } => {
            (10, body.u32(*request).u32(*retry_after_ms).u16(status.code()))
        }
        Frame::Goodbye { reason, retry_after_ms } => (11, body.u32(*retry_after_ms).u16(reason.code())),
    };
    control_frame(kind, 0, &body.0)
}
