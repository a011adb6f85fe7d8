//! The values that the golden vectors show, and any others.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use adit_domain::id::{
    ApiKeyId, CapabilityId, EndpointId, InstanceId, NodeId, RequestId, SessionId, TenantId,
};
use adit_domain::{
    Balance, EndpointKind, Epoch, Handling, Hostname, PlanLimits, Pooling, Retry, Reuse, Rights, Sticky,
    Timestamp, UpstreamProtocol,
};
use adit_wire::capability::{AgentKey, Capability, MintKey, Scope, SignedCapability};
use adit_wire::control::{
    Bind, BindRefusal, BindRefused, Bound, DrainReason, Frame, GoodbyeReason, Unbind, UnbindReason,
};
use adit_wire::preface::{AgentPreface, Exporter, ServerPreface, Status};
use adit_wire::stream::{StreamHeader, StreamKind};
use proptest::array::{uniform16, uniform32};
use proptest::prelude::*;

pub const EXPORTER: Exporter = [0x45; 32];
pub const ISSUED_S: u32 = 1_795_219_200;
pub const EXPIRES_S: u32 = ISSUED_S + 86_400;

/// The ids of the vectors differ in their last byte.
pub fn id(last: u8) -> [u8; 16] {
    [0x01, 0x93, 0xab, 0xcd, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, last]
}

pub fn mint_key() -> MintKey {
    MintKey::from_seed(7, &[0x4d; 32])
}

pub fn agent_key() -> AgentKey {
    AgentKey::from_seed(&[0x41; 32])
}

pub fn seconds(seconds: u32) -> Timestamp {
    Timestamp::from_micros(i64::from(seconds) * 1_000_000)
}

pub fn capability() -> Capability {
    Capability {
        id: CapabilityId::from_bytes(id(1)),
        tenant: TenantId::from_bytes(id(2)),
        api_key: ApiKeyId::from_bytes(id(3)),
        agent_public_key: agent_key().public(),
        scope: Scope::Tenant,
        rights: Rights::AGENT,
        limits: PlanLimits {
            sessions_max: 8,
            endpoints_max: 32,
            requests_max: 600,
            connections_max: 1_200,
            arrivals_per_s_max: 300,
            idle_s_max: 900,
        },
        issued_at: seconds(ISSUED_S),
        expires_at: seconds(EXPIRES_S),
        revision: 5,
        key_id: 7,
    }
}

pub fn agent_preface() -> AgentPreface {
    AgentPreface {
        version_min: 1,
        version_max: 1,
        features: 0,
        capability: mint_key().sign(&capability()),
        instance: InstanceId::from_bytes(id(5)),
    }
}

pub fn server_preface() -> ServerPreface {
    ServerPreface {
        status: Status::Ok,
        version: 1,
        features: 0,
        session: SessionId::from_bytes(id(6)),
        heartbeat_idle_ms: 10_000,
        heartbeat_dead_ms: 15_000,
        streams_max: 256,
        retry_after_ms: 0,
        node: NodeId::from_bytes(id(7)),
    }
}

pub fn hostname(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

pub fn bind() -> Bind {
    Bind {
        request: 1,
        kind: EndpointKind::Http,
        hostname: Some(hostname("app.tunnels.example")),
        port: None,
        label: "http://localhost:3000".to_owned(),
        upstream: UpstreamProtocol::Http1,
        host_header: String::new(),
        instance: InstanceId::from_bytes(id(5)),
        prior_epoch: Epoch::NONE,
        pooling: None,
        handling: Handling::default(),
    }
}

pub fn bind_pooled() -> Bind {
    let pooling = Some(Pooling { balance: Balance::RoundRobin, sticky: Sticky::Cookie });
    let handling = Handling { reuse: Reuse::Off, retry: Retry::Off };
    Bind { request: 3, pooling, handling, ..bind() }
}

pub fn bind_default() -> Bind {
    let label = "na\u{ef}ve".to_owned();
    let (upstream, host_header) = (UpstreamProtocol::H2c, "localhost:3000".to_owned());
    Bind { request: 2, hostname: None, label, upstream, host_header, prior_epoch: Epoch(9), ..bind() }
}

pub fn bind_tcp() -> Bind {
    let (port, label) = (NonZeroU16::new(20_022), "tcp://localhost:22".to_owned());
    Bind { request: 3, kind: EndpointKind::Tcp, hostname: None, port, label, ..bind() }
}

pub fn bind_udp() -> Bind {
    let label = "udp://localhost:53".to_owned();
    Bind { request: 4, kind: EndpointKind::Udp, hostname: None, label, ..bind() }
}

pub fn bound() -> Bound {
    Bound {
        request: 1,
        endpoint: EndpointId::from_bytes(id(4)),
        epoch: Epoch(10),
        url: "https://app.tunnels.example".to_owned(),
        hostname: hostname("app.tunnels.example"),
    }
}

pub fn bind_refused() -> BindRefused {
    BindRefused {
        request: 1,
        reason: BindRefusal::Replaced,
        retry_after_ms: 0,
        message: "a newer agent serves this endpoint".to_owned(),
    }
}

pub fn unbind() -> Unbind {
    Unbind { endpoint: EndpointId::from_bytes(id(4)), epoch: Epoch(10), reason: UnbindReason::Replaced }
}

pub fn stream_header(visitor: &str, kind: StreamKind) -> StreamHeader {
    StreamHeader {
        version: 1,
        kind,
        flags: 0,
        endpoint: EndpointId::from_bytes(id(4)),
        epoch: Epoch(10),
        request: RequestId::from_bytes(id(8)),
        visitor: visitor.parse().unwrap(),
    }
}

prop_compose! {
    fn any_limits()(
        (sessions_max, endpoints_max, requests_max) in any::<(u16, u16, u16)>(),
        (connections_max, arrivals_per_s_max, idle_s_max) in any::<(u16, u16, u16)>(),
    ) -> PlanLimits {
        PlanLimits { sessions_max, endpoints_max, requests_max, connections_max, arrivals_per_s_max, idle_s_max }
    }
}

prop_compose! {
    pub fn any_capability()(
        (id, tenant, api_key, endpoint) in any::<([u8; 16], [u8; 16], [u8; 16], [u8; 16])>(),
        seed in uniform32(any::<u8>()),
        (rights, revision) in any::<(u16, u16)>(),
        limits in any_limits(),
        (issued, expires, key_id) in any::<(u32, u32, u32)>(),
        whole_tenant in any::<bool>(),
    ) -> Capability {
        let whole_tenant = whole_tenant || endpoint == [0; 16];
        Capability {
            id: CapabilityId::from_bytes(id),
            tenant: TenantId::from_bytes(tenant),
            api_key: ApiKeyId::from_bytes(api_key),
            agent_public_key: AgentKey::from_seed(&seed).public(),
            scope: if whole_tenant { Scope::Tenant } else { Scope::Endpoint(EndpointId::from_bytes(endpoint)) },
            rights: Rights::from_bits(rights.into()),
            limits,
            issued_at: seconds(issued),
            expires_at: seconds(expires),
            revision,
            key_id,
        }
    }
}

prop_compose! {
    pub fn any_agent_preface()(
        (version_min, more) in any::<(u16, u16)>(),
        features in any::<u64>(),
        capability in any_bytes_192(),
        instance in uniform16(any::<u8>()),
    ) -> AgentPreface {
        let version_min = version_min.max(1);
        AgentPreface {
            version_min,
            version_max: version_min.saturating_add(more),
            features,
            capability,
            instance: InstanceId::from_bytes(instance),
        }
    }
}

prop_compose! {
    pub fn any_server_preface()(
        (status, version) in any::<(u16, u16)>(),
        features in any::<u64>(),
        (session, node) in any::<([u8; 16], [u8; 16])>(),
        (heartbeat_idle_ms, heartbeat_dead_ms, streams_max, retry_after_ms) in any::<(u32, u32, u32, u32)>(),
    ) -> ServerPreface {
        ServerPreface {
            status: Status::from_code(status),
            version,
            features,
            session: SessionId::from_bytes(session),
            heartbeat_idle_ms,
            heartbeat_dead_ms,
            streams_max,
            retry_after_ms,
            node: NodeId::from_bytes(node),
        }
    }
}

prop_compose! {
    pub fn any_stream_header()(
        code in 1_u16..=4,
        flags in any::<u16>(),
        (endpoint, request) in any::<([u8; 16], [u8; 16])>(),
        epoch in any::<u64>(),
        (address, port) in any::<(IpAddr, u16)>(),
    ) -> StreamHeader {
        StreamHeader {
            version: 1,
            kind: StreamKind::from_code(code).unwrap(),
            flags,
            endpoint: EndpointId::from_bytes(endpoint),
            epoch: Epoch(epoch),
            request: RequestId::from_bytes(request),
            visitor: SocketAddr::new(address.to_canonical(), port),
        }
    }
}

/// 192 bytes that need not be a capability.
fn any_bytes_192() -> impl Strategy<Value = SignedCapability> {
    proptest::collection::vec(any::<u8>(), 192)
        .prop_map(|bytes| SignedCapability::from_slice(&bytes).unwrap())
}

fn any_hostname() -> impl Strategy<Value = Hostname> {
    "[a-z0-9]{1,63}(\\.[a-z][a-z0-9]{0,20}){1,4}".prop_map(|text| hostname(&text))
}

prop_compose! {
    fn any_bind()(
        request in any::<u32>(),
        hostname in proptest::option::of(any_hostname()),
        label in "\\PC{0,16}",
        upstream in 1_u16..=3,
        host_header in "[!-~]{0,20}",
        instance in uniform16(any::<u8>()),
        epoch in any::<u64>(),
        code in 1_u8..=4,
        port in any::<u16>(),
        (balance, sticky) in (0_u8..=3, 0_u8..=2),
        (reuse, retry) in (0_u8..=1, 0_u8..=1),
    ) -> Frame {
        let (instance, port) = (InstanceId::from_bytes(instance), NonZeroU16::new(port));
        let upstream = UpstreamProtocol::from_code(upstream).unwrap();
        let prior_epoch = Epoch(epoch);
        let pooling = Balance::from_code(balance).zip(Sticky::from_code(sticky));
        let pooling = pooling.map(|(balance, sticky)| Pooling { balance, sticky });
        let (reuse, retry) = (Reuse::from_code(reuse).unwrap(), Retry::from_code(retry).unwrap());
        Frame::Bind(Bind {
            request,
            kind: EndpointKind::from_code(code).unwrap(),
            hostname,
            port,
            label,
            upstream,
            host_header,
            instance,
            prior_epoch,
            pooling,
            handling: Handling { reuse, retry },
        })
    }
}

prop_compose! {
    fn any_bound()(
        request in any::<u32>(),
        endpoint in uniform16(any::<u8>()),
        epoch in any::<u64>(),
        url in "[!-~]{0,512}",
        hostname in any_hostname(),
    ) -> Frame {
        let endpoint = EndpointId::from_bytes(endpoint);
        Frame::Bound(Bound { request, endpoint, epoch: Epoch(epoch), url, hostname })
    }
}

/// Any frame that may be written.
pub fn any_frame() -> impl Strategy<Value = Frame> {
    let refused = (any::<(u32, u16, u32)>(), "\\PC{0,64}").prop_map(|((request, reason, after), message)| {
        let reason = BindRefusal::from_code(reason);
        Frame::BindRefused(BindRefused { request, reason, retry_after_ms: after, message })
    });
    let unbind = any::<([u8; 16], u64, u16)>().prop_map(|(endpoint, epoch, reason)| {
        let reason = UnbindReason::from_code(reason);
        Frame::Unbind(Unbind { endpoint: EndpointId::from_bytes(endpoint), epoch: Epoch(epoch), reason })
    });
    let refresh_refused = any::<(u32, u16, u32)>().prop_map(|(request, status, retry_after_ms)| {
        Frame::RefreshRefused { request, status: Status::from_code(status), retry_after_ms }
    });
    let goodbye = any::<(u16, u32)>().prop_map(|(reason, retry_after_ms)| Frame::Goodbye {
        reason: GoodbyeReason::from_code(reason),
        retry_after_ms,
    });
    prop_oneof![
        any_bind(),
        any_bound(),
        refused,
        unbind,
        any::<u64>().prop_map(|nonce| Frame::Ping { nonce }),
        any::<u64>().prop_map(|nonce| Frame::Pong { nonce }),
        (any::<u32>(), any::<u16>()).prop_map(|(deadline_ms, reason)| Frame::Drain {
            reason: DrainReason::from_code(reason),
            deadline_ms
        }),
        any::<u32>().prop_map(|request| Frame::Refresh { request }),
        (any::<u32>(), any_bytes_192())
            .prop_map(|(request, capability)| Frame::Refreshed { request, capability }),
        refresh_refused,
        goodbye,
    ]
}
