//! The layouts of the frames' bodies: a fixed block, then texts, each with its length in front.

use std::num::NonZeroU16;

use adit_domain::id::{EndpointId, InstanceId};
use adit_domain::{
    Balance, EndpointKind, Epoch, Handling, Hostname, Pooling, Retry, Reuse, Sticky, UpstreamProtocol,
};
use bincode::{Decode, Encode};

use super::body_error::BodyError;
use super::reasons::{BindRefusal, DrainReason, GoodbyeReason, UnbindReason};
use super::{Bind, BindRefused, Bound, EncodeError, Frame, Unbind, text};
use crate::capability::{CAPABILITY_LEN, SignedCapability};
use crate::fixed;
use crate::preface::Status;

const BIND: u8 = 1;
const BOUND: u8 = 2;
const BIND_REFUSED: u8 = 3;
const UNBIND: u8 = 4;
const PING: u8 = 5;
const PONG: u8 = 6;
const DRAIN: u8 = 7;
const REFRESH: u8 = 8;
const REFRESHED: u8 = 9;
const REFRESH_REFUSED: u8 = 10;
const GOODBYE: u8 = 11;

/// Whether this version knows frames of this kind.
pub(super) const fn is_known(kind: u8) -> bool {
    matches!(kind, BIND..=GOODBYE)
}

#[derive(Encode, Decode)]
struct BindBlock {
    request: u32,
    kind: u16,
    instance: [u8; 16],
    prior_epoch: u64,
    port: u16,
    upstream: u16,
    balance: u8,
    sticky: u8,
    reuse: u8,
    retry: u8,
}
const BIND_LEN: usize = 38;

#[derive(Encode, Decode)]
struct BoundBlock {
    request: u32,
    endpoint: [u8; 16],
    epoch: u64,
}
const BOUND_LEN: usize = 28;

#[derive(Encode, Decode)]
struct RefusedBlock {
    request: u32,
    retry_after_ms: u32,
    reason: u16,
}
const REFUSED_LEN: usize = 10;

#[derive(Encode, Decode)]
struct UnbindBlock {
    endpoint: [u8; 16],
    epoch: u64,
    reason: u16,
}
const UNBIND_LEN: usize = 26;

#[derive(Encode, Decode)]
struct RefreshedBlock {
    request: u32,
    capability: [u8; CAPABILITY_LEN],
}
const REFRESHED_LEN: usize = 196;

#[derive(Encode, Decode)]
struct DrainBlock {
    deadline_ms: u32,
    reason: u16,
}
const DRAIN_LEN: usize = 6;

#[derive(Encode, Decode)]
struct GoodbyeBlock {
    retry_after_ms: u32,
    reason: u16,
}
const GOODBYE_LEN: usize = 6;

/// Length of a body that is one `u64`, and of one that is one `u32`.
const NONCE_LEN: usize = 8;
const NUMBER_LEN: usize = 4;

/// Appends header and body of `frame` to `out`, or nothing.
pub(super) fn encode(frame: &Frame, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut body = Vec::new();
    let kind = encode_body(frame, &mut body)?;
    // The bounds of the texts keep every body far below `CONTROL_BODY_BYTES_MAX`.
    let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let [low, high] = len.to_le_bytes();
    out.extend_from_slice(&[low, high, kind, 0]);
    out.extend_from_slice(&body);
    Ok(())
}

fn encode_body(frame: &Frame, body: &mut Vec<u8>) -> Result<u8, EncodeError> {
    match frame {
        Frame::Bind(bind) => encode_bind(bind, body),
        Frame::Bound(bound) => encode_bound(bound, body),
        Frame::BindRefused(refused) => encode_refused(refused, body),
        Frame::Unbind(unbind) => {
            let Unbind { endpoint, epoch, reason } = *unbind;
            let block = UnbindBlock { endpoint: endpoint.to_bytes(), epoch: epoch.0, reason: reason.code() };
            Ok(put::<_, UNBIND_LEN>(UNBIND, &block, body))
        }
        Frame::Ping { nonce } => Ok(put::<_, NONCE_LEN>(PING, nonce, body)),
        Frame::Pong { nonce } => Ok(put::<_, NONCE_LEN>(PONG, nonce, body)),
        Frame::Drain { reason, deadline_ms } => {
            let block = DrainBlock { deadline_ms: *deadline_ms, reason: reason.code() };
            Ok(put::<_, DRAIN_LEN>(DRAIN, &block, body))
        }
        Frame::Refresh { request } => Ok(put::<_, NUMBER_LEN>(REFRESH, request, body)),
        Frame::Refreshed { request, capability } => {
            let block = RefreshedBlock { request: *request, capability: *capability.as_bytes() };
            Ok(put::<_, REFRESHED_LEN>(REFRESHED, &block, body))
        }
        Frame::RefreshRefused { request, status, retry_after_ms } => {
            let block =
                RefusedBlock { request: *request, retry_after_ms: *retry_after_ms, reason: status.code() };
            Ok(put::<_, REFUSED_LEN>(REFRESH_REFUSED, &block, body))
        }
        Frame::Goodbye { reason, retry_after_ms } => {
            let block = GoodbyeBlock { retry_after_ms: *retry_after_ms, reason: reason.code() };
            Ok(put::<_, GOODBYE_LEN>(GOODBYE, &block, body))
        }
    }
}

fn encode_bind(bind: &Bind, body: &mut Vec<u8>) -> Result<u8, EncodeError> {
    let block = BindBlock {
        request: bind.request,
        kind: u16::from(bind.kind.code()),
        instance: bind.instance.to_bytes(),
        prior_epoch: bind.prior_epoch.0,
        port: bind.port.map_or(0, NonZeroU16::get),
        upstream: bind.upstream.code(),
        balance: bind.pooling.map_or(0, |pooling| pooling.balance.code()),
        sticky: bind.pooling.map_or(0, |pooling| pooling.sticky.code()),
        reuse: bind.handling.reuse.code(),
        retry: bind.handling.retry.code(),
    };
    let kind = put::<_, BIND_LEN>(BIND, &block, body);
    text::HOSTNAME.encode(bind.hostname.as_ref().map_or("", Hostname::as_str), body)?;
    text::LABEL.encode(&bind.label, body)?;
    text::HOST_HEADER.encode(&bind.host_header, body)?;
    Ok(kind)
}

fn encode_bound(bound: &Bound, body: &mut Vec<u8>) -> Result<u8, EncodeError> {
    let block =
        BoundBlock { request: bound.request, endpoint: bound.endpoint.to_bytes(), epoch: bound.epoch.0 };
    let kind = put::<_, BOUND_LEN>(BOUND, &block, body);
    text::HOSTNAME.encode(bound.hostname.as_str(), body)?;
    text::URL.encode(&bound.url, body)?;
    Ok(kind)
}

fn encode_refused(refused: &BindRefused, body: &mut Vec<u8>) -> Result<u8, EncodeError> {
    let block = RefusedBlock {
        request: refused.request,
        retry_after_ms: refused.retry_after_ms,
        reason: refused.reason.code(),
    };
    let kind = put::<_, REFUSED_LEN>(BIND_REFUSED, &block, body);
    text::MESSAGE.encode(&refused.message, body)?;
    Ok(kind)
}

/// Appends a fixed block; hands the frame's kind through.
fn put<T: Encode, const N: usize>(kind: u8, block: &T, body: &mut Vec<u8>) -> u8 {
    body.extend_from_slice(&fixed::encode::<T, N>(block));
    kind
}

/// The frame of this kind with this body; `None` if this version does not know the kind.
pub(super) fn decode(kind: u8, body: &[u8]) -> Option<Result<Frame, BodyError>> {
    Some(match kind {
        BIND => decode_bind(body),
        BOUND => decode_bound(body),
        BIND_REFUSED => decode_refused(body),
        UNBIND => only::<UnbindBlock, UNBIND_LEN>(body).map(|block| {
            Frame::Unbind(Unbind {
                endpoint: EndpointId::from_bytes(block.endpoint),
                epoch: Epoch(block.epoch),
                reason: UnbindReason::from_code(block.reason),
            })
        }),
        PING => only::<u64, NONCE_LEN>(body).map(|nonce| Frame::Ping { nonce }),
        PONG => only::<u64, NONCE_LEN>(body).map(|nonce| Frame::Pong { nonce }),
        DRAIN => only::<DrainBlock, DRAIN_LEN>(body).map(|block| Frame::Drain {
            reason: DrainReason::from_code(block.reason),
            deadline_ms: block.deadline_ms,
        }),
        REFRESH => only::<u32, NUMBER_LEN>(body).map(|request| Frame::Refresh { request }),
        REFRESHED => only::<RefreshedBlock, REFRESHED_LEN>(body).map(|block| Frame::Refreshed {
            request: block.request,
            capability: SignedCapability::from_bytes(block.capability),
        }),
        REFRESH_REFUSED => only::<RefusedBlock, REFUSED_LEN>(body).map(|block| Frame::RefreshRefused {
            request: block.request,
            status: Status::from_code(block.reason),
            retry_after_ms: block.retry_after_ms,
        }),
        GOODBYE => only::<GoodbyeBlock, GOODBYE_LEN>(body).map(|block| Frame::Goodbye {
            reason: GoodbyeReason::from_code(block.reason),
            retry_after_ms: block.retry_after_ms,
        }),
        _ => return None,
    })
}

fn decode_bind(body: &[u8]) -> Result<Frame, BodyError> {
    let (block, rest) = take::<BindBlock, BIND_LEN>(body)?;
    let kind = u8::try_from(block.kind).ok().and_then(EndpointKind::from_code);
    let kind = kind.ok_or(BodyError::Unknown { field: "endpoint kind", value: block.kind })?;
    let upstream = UpstreamProtocol::from_code(block.upstream)
        .ok_or(BodyError::Unknown { field: "upstream protocol", value: block.upstream })?;
    let (pooling, handling) = (pooling(&block)?, handling(&block)?);
    let (name, rest) = text::HOSTNAME.decode(rest)?;
    let hostname = if name.is_empty() { None } else { Some(text::hostname(name)?) };
    let (label, rest) = text::LABEL.decode(rest)?;
    let (host_header, rest) = text::HOST_HEADER.decode(rest)?;
    nothing_after(rest)?;
    Ok(Frame::Bind(Bind {
        request: block.request,
        kind,
        hostname,
        port: NonZeroU16::new(block.port),
        label: label.to_owned(),
        upstream,
        host_header: host_header.to_owned(),
        instance: InstanceId::from_bytes(block.instance),
        prior_epoch: Epoch(block.prior_epoch),
        pooling,
        handling,
    }))
}

fn pooling(block: &BindBlock) -> Result<Option<Pooling>, BodyError> {
    if block.balance == 0 {
        // Nothing to share, nobody to come back to.
        return if block.sticky == 0 { Ok(None) } else { Err(unknown("sticky", block.sticky)) };
    }
    let balance = Balance::from_code(block.balance).ok_or(unknown("balance", block.balance))?;
    let sticky = Sticky::from_code(block.sticky).ok_or(unknown("sticky", block.sticky))?;
    Ok(Some(Pooling { balance, sticky }))
}

fn handling(block: &BindBlock) -> Result<Handling, BodyError> {
    let reuse = Reuse::from_code(block.reuse).ok_or(unknown("reuse", block.reuse))?;
    let retry = Retry::from_code(block.retry).ok_or(unknown("retry", block.retry))?;
    Ok(Handling { reuse, retry })
}

fn unknown(field: &'static str, value: u8) -> BodyError {
    BodyError::Unknown { field, value: value.into() }
}

fn decode_bound(body: &[u8]) -> Result<Frame, BodyError> {
    let (block, rest) = take::<BoundBlock, BOUND_LEN>(body)?;
    let (name, rest) = text::HOSTNAME.decode(rest)?;
    let hostname = text::hostname(name)?;
    let (url, rest) = text::URL.decode(rest)?;
    nothing_after(rest)?;
    Ok(Frame::Bound(Bound {
        request: block.request,
        endpoint: EndpointId::from_bytes(block.endpoint),
        epoch: Epoch(block.epoch),
        url: url.to_owned(),
        hostname,
    }))
}

fn decode_refused(body: &[u8]) -> Result<Frame, BodyError> {
    let (block, rest) = take::<RefusedBlock, REFUSED_LEN>(body)?;
    let (message, rest) = text::MESSAGE.decode(rest)?;
    nothing_after(rest)?;
    Ok(Frame::BindRefused(BindRefused {
        request: block.request,
        reason: BindRefusal::from_code(block.reason),
        retry_after_ms: block.retry_after_ms,
        message: message.to_owned(),
    }))
}

/// A body that is one fixed block.
fn only<T: Decode<()>, const N: usize>(body: &[u8]) -> Result<T, BodyError> {
    let (block, rest) = take::<T, N>(body)?;
    nothing_after(rest)?;
    Ok(block)
}

/// The fixed block at the start of `body`, and what follows it.
fn take<T: Decode<()>, const N: usize>(body: &[u8]) -> Result<(T, &[u8]), BodyError> {
    let (block, rest) = body.split_first_chunk::<N>().ok_or(BodyError::Short)?;
    let block = fixed::decode(block).ok_or(BodyError::Short)?;
    Ok((block, rest))
}

fn nothing_after(rest: &[u8]) -> Result<(), BodyError> {
    if rest.is_empty() { Ok(()) } else { Err(BodyError::Long) }
}
