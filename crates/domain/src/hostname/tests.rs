#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;

use super::{Hostname, HostnameError, Label, LabelError};
use crate::limits::{HOSTNAME_BYTES_MAX, LABEL_BYTES_MAX};

#[test]
fn spelling_variants_are_one_name() {
    let name = Hostname::parse("app.example.com").unwrap();
    for variant in ["APP.example.COM", "app.example.com.", "App.Example.Com."] {
        assert_eq!(Hostname::parse(variant).unwrap(), name, "{variant}");
    }
}

#[test]
fn what_is_not_a_host_name() {
    let label = HostnameError::Label;
    let cases = [
        ("", HostnameError::Empty),
        (".", HostnameError::Empty),
        ("a..b", label(LabelError::Empty)),
        (".a", label(LabelError::Empty)),
        ("a.b..", label(LabelError::Empty)),
        ("-a.b", label(LabelError::Hyphen)),
        ("a-.b", label(LabelError::Hyphen)),
        ("a_b.c", label(LabelError::Character)),
        ("a b", label(LabelError::Character)),
        ("a\n.b", label(LabelError::Character)),
        ("bücher.example", label(LabelError::Character)),
        ("127.0.0.1", HostnameError::Numeric),
        ("example.1", HostnameError::Numeric),
        ("[::1]", label(LabelError::Character)),
        ("a@b", label(LabelError::Character)),
        ("a:80", label(LabelError::Character)),
    ];
    for (text, error) in cases {
        assert_eq!(Hostname::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn label_length_bound() {
    assert!(Label::parse(&"a".repeat(LABEL_BYTES_MAX - 1)).is_ok());
    assert!(Label::parse(&"a".repeat(LABEL_BYTES_MAX)).is_ok());
    assert_eq!(Label::parse(&"a".repeat(LABEL_BYTES_MAX + 1)), Err(LabelError::TooLong));
}

#[test]
fn hostname_length_bound() {
    let of = |n: usize| format!("{}{}", "a.".repeat((n - 1) / 2), "b".repeat(n - (n - 1) / 2 * 2));
    assert!(Hostname::parse(&of(HOSTNAME_BYTES_MAX - 1)).is_ok());
    assert!(Hostname::parse(&of(HOSTNAME_BYTES_MAX)).is_ok());
    assert_eq!(Hostname::parse(&of(HOSTNAME_BYTES_MAX + 1)), Err(HostnameError::TooLong));
}

#[test]
fn children() {
    let parent = Hostname::parse("tunnels.example").unwrap();
    let child = parent.child(&Label::parse("App").unwrap()).unwrap();
    assert_eq!(child.as_str(), "app.tunnels.example");
    assert!(child.is_direct_child_of(&parent));
    assert!(!parent.is_direct_child_of(&parent));
    assert!(!Hostname::parse("x.app.tunnels.example").unwrap().is_direct_child_of(&parent));
    assert!(!Hostname::parse("apptunnels.example").unwrap().is_direct_child_of(&parent));
}

proptest! {
    #[test]
    fn parsing_is_total_and_idempotent(text in ".{0,300}") {
        if let Ok(name) = Hostname::parse(&text) {
            prop_assert_eq!(Hostname::parse(name.as_str()), Ok(name));
        }
    }
}
