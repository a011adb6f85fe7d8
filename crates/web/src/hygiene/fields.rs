//! Which field is what. An underscore counts as a hyphen: programs behind a CGI-like interface cannot tell
//! `X_Forwarded_For` from `X-Forwarded-For`.

/// Fields that belong to one connection. `expect` is among them: this node answers it itself.
const ONE_HOP: &[&str] =
    &["connection", "expect", "http2-settings", "keep-alive", "proxy", "te", "transfer-encoding", "upgrade"];

/// Fields by which proxies say who the visitor is, apart from `x-forwarded*`.
const IDENTITY: &[&str] = &[
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-original-host",
    "x-real-ip",
];

const FRAMING: &[&str] = &["content-length", "host"];

/// Whether the field ends at this hop.
pub(super) fn is_one_hop(name: &str) -> bool {
    has_prefix(name, "proxy-") || ONE_HOP.iter().any(|field| is(name, field))
}

/// Whether the field says who the visitor is.
pub(super) fn is_identity(name: &str) -> bool {
    has_prefix(name, "x-forwarded") || IDENTITY.iter().any(|field| is(name, field))
}

/// Whether only Adit may set the field.
pub(super) fn is_ours(name: &str) -> bool {
    has_prefix(name, "adit-")
}

/// Whether the field decides about framing or routing.
pub(super) fn is_framing(name: &str) -> bool {
    FRAMING.iter().any(|field| is(name, field))
}

/// Whether the field is another one's shadow: the same but for underscores.
pub(super) fn is_shadow_of_framing(name: &str) -> bool {
    name.contains('_') && is_framing(name)
}

fn is(name: &str, field: &str) -> bool {
    name.len() == field.len() && has_prefix(name, field)
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte };
    name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(byte, wanted)| fold(byte) == wanted)
}
