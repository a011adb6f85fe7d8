//! Capabilities: the vector, the second encoder, and everything that must be refused.

use std::time::Duration;

use adit_domain::Timestamp;
use adit_domain::id::EndpointId;
use adit_wire::capability::{
    AgentKey, AgentPublicKey, CAPABILITY_BODY_LEN, CAPABILITY_LEN, Capability, CapabilityError, KeyError,
    KeyRing, MintKey, Scope, SignedCapability,
};
use adit_wire::limits::KEY_RING_KEYS_MAX;
use proptest::prelude::*;

use crate::{by_hand, samples, vectors};

const MICRO: Duration = Duration::from_micros(1);
const SKEW: Duration = Duration::from_mins(1);

fn ring(key: &MintKey) -> KeyRing {
    let mut ring = KeyRing::new();
    let (key_id, public) = key.public();
    ring.insert(key_id, public).unwrap();
    ring
}

fn verify(signed: &SignedCapability, now: Timestamp) -> Result<Capability, CapabilityError> {
    ring(&samples::mint_key()).verify(signed, now)
}

fn noon() -> Timestamp {
    samples::seconds(samples::ISSUED_S + 3_600)
}

#[test]
fn the_vectors() {
    let tenant = samples::capability();
    let endpoint =
        Capability { scope: Scope::Endpoint(EndpointId::from_bytes(samples::id(4))), ..tenant.clone() };
    for (vector, capability) in [(vectors::capability(), tenant), (vectors::capability_endpoint(), endpoint)]
    {
        let signed = SignedCapability::from_bytes(vectors::exactly::<CAPABILITY_LEN>(&vector));
        assert_eq!(samples::mint_key().sign(&capability), signed);
        assert_eq!(verify(&signed, noon()), Ok(capability));
        assert_eq!(SignedCapability::from_hex(&signed.to_hex()), Ok(signed));
    }
}

proptest! {
    #[test]
    fn signs_what_the_second_encoder_writes(capability in samples::any_capability(), seed in any::<[u8; 32]>()) {
        let mint = MintKey::from_seed(capability.key_id, &seed);
        let signed = mint.sign(&capability);
        let body = by_hand::capability_body(&capability, capability.key_id);
        prop_assert_eq!(&signed.as_bytes()[..CAPABILITY_BODY_LEN], body.as_slice());
        let valid = capability.issued_at < capability.expires_at.plus(SKEW);
        let expected = if valid { Ok(capability.clone()) } else { Err(CapabilityError::Expired) };
        prop_assert_eq!(ring(&mint).verify(&signed, capability.issued_at), expected);
    }

    #[test]
    fn no_bytes_verify_by_chance(bytes in proptest::collection::vec(any::<u8>(), CAPABILITY_LEN)) {
        let signed = SignedCapability::from_slice(&bytes).unwrap();
        prop_assert!(verify(&signed, noon()).is_err());
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let whole = *samples::mint_key().sign(&samples::capability()).as_bytes();
    for bit in 0..CAPABILITY_LEN * 8 {
        let mut flipped = whole;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let refused = verify(&SignedCapability::from_bytes(flipped), noon()).unwrap_err();
        let expected: fn(&CapabilityError) -> bool = match bit / 8 {
            0..3 => |error| matches!(error, CapabilityError::Magic),
            3 => |error| matches!(error, CapabilityError::Version(_)),
            4..8 => |error| matches!(error, CapabilityError::UnknownKey(_)),
            _ => |error| matches!(error, CapabilityError::Signature),
        };
        assert!(expected(&refused), "bit {bit}: {refused}");
    }
}

#[test]
fn a_signature_that_only_lax_rules_accept() {
    let signed = SignedCapability::from_slice(&vectors::capability_not_strict()).unwrap();
    assert_eq!(verify(&signed, noon()), Err(CapabilityError::Signature));
}

#[test]
fn one_body_has_one_signature() {
    // The order of the group, added to the scalar half of a signature: without strict rules it would verify as well.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut bytes = *samples::mint_key().sign(&samples::capability()).as_bytes();
    let mut carry = 0;
    for (byte, order) in bytes[160..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        [*byte, _] = sum.to_le_bytes();
        carry = sum >> 8;
    }
    assert_eq!(verify(&SignedCapability::from_bytes(bytes), noon()), Err(CapabilityError::Signature));
}

#[test]
fn truncated_and_extended() {
    let whole = samples::mint_key().sign(&samples::capability());
    let mut longer = whole.as_bytes().to_vec();
    longer.push(0);
    for len in (0..CAPABILITY_LEN).chain([CAPABILITY_LEN + 1]) {
        assert_eq!(SignedCapability::from_slice(&longer[..len]), Err(CapabilityError::Length), "{len} bytes");
    }
    let text = whole.to_hex();
    for wrong in
        ["", &text[1..], &text[2..], &format!("{text}0"), &format!("{text}00"), &text.replace('0', "g")]
    {
        assert_eq!(SignedCapability::from_hex(wrong), Err(CapabilityError::Length));
    }
    assert_eq!(SignedCapability::from_hex(&text.to_uppercase()), Ok(whole));
}

#[test]
fn another_key_under_the_same_or_another_id() {
    let signed = samples::mint_key().sign(&samples::capability());
    assert_eq!(KeyRing::new().verify(&signed, noon()), Err(CapabilityError::UnknownKey(7)));
    let same_key_other_id = ring(&MintKey::from_seed(8, &[0x4d; 32]));
    assert_eq!(same_key_other_id.verify(&signed, noon()), Err(CapabilityError::UnknownKey(7)));
    let other_key_same_id = ring(&MintKey::from_seed(7, &[0x4e; 32]));
    assert_eq!(other_key_same_id.verify(&signed, noon()), Err(CapabilityError::Signature));
}

#[test]
fn a_removed_key_is_unknown() {
    let signed = samples::mint_key().sign(&samples::capability());
    let mut ring = ring(&samples::mint_key());
    assert!(ring.verify(&signed, noon()).is_ok());
    ring.remove(7);
    assert_eq!(ring.verify(&signed, noon()), Err(CapabilityError::UnknownKey(7)));
}

#[test]
fn the_minting_key_writes_its_own_id() {
    let signed = samples::mint_key().sign(&Capability { key_id: 99, ..samples::capability() });
    assert_eq!(verify(&signed, noon()).unwrap().key_id, 7);
}

#[test]
fn valid_from_issue_to_expiry_with_a_minute_of_skew() {
    let signed = samples::mint_key().sign(&samples::capability());
    let first = samples::seconds(samples::ISSUED_S).minus(SKEW);
    let end = samples::seconds(samples::EXPIRES_S).plus(SKEW);
    let cases = [
        (Timestamp::from_micros(i64::MIN), Err(CapabilityError::NotYetValid)),
        (first.minus(MICRO), Err(CapabilityError::NotYetValid)),
        (first, Ok(())),
        (first.plus(MICRO), Ok(())),
        (end.minus(MICRO), Ok(())),
        (end, Err(CapabilityError::Expired)),
        (end.plus(MICRO), Err(CapabilityError::Expired)),
        (Timestamp::from_micros(i64::MAX), Err(CapabilityError::Expired)),
    ];
    for (now, expected) in cases {
        assert_eq!(verify(&signed, now).map(|_| ()), expected, "at {now}");
    }
}

#[test]
fn the_time_is_looked_at_last() {
    let mut bytes = *samples::mint_key().sign(&samples::capability()).as_bytes();
    bytes[191] ^= 1;
    let long_after = Timestamp::from_micros(i64::MAX);
    assert_eq!(verify(&SignedCapability::from_bytes(bytes), long_after), Err(CapabilityError::Signature));
}

#[test]
fn times_travel_as_whole_seconds_within_their_range() {
    let of = |micros| Timestamp::from_micros(micros);
    let sign = |issued_at, expires_at| {
        samples::mint_key().sign(&Capability { issued_at, expires_at, ..samples::capability() })
    };
    let signed = sign(of(1_999_999), of(3_000_001));
    let read = verify(&signed, of(2_000_000)).unwrap();
    assert_eq!((read.issued_at, read.expires_at), (of(1_000_000), of(3_000_000)));
    let read = verify(&sign(of(i64::MIN), of(i64::MAX)), noon()).unwrap();
    assert_eq!((read.issued_at, read.expires_at), (of(0), samples::seconds(u32::MAX)));
}

#[test]
fn keys_of_small_order_and_no_points_are_refused() {
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    minus_one[31] = 0x7f;
    let mut no_point = [0; 32];
    no_point[0] = 2;
    for bytes in [[0; 32], one, minus_one, no_point] {
        assert_eq!(AgentPublicKey::from_bytes(bytes), Err(KeyError::Invalid));
        assert_eq!(KeyRing::new().insert(1, bytes), Err(KeyError::Invalid));
    }
}

#[test]
fn public_keys_as_text() {
    let key = samples::agent_key().public();
    assert_eq!(AgentPublicKey::from_hex(&key.to_hex()), Ok(key));
    assert_eq!(AgentPublicKey::from_bytes(key.to_bytes()), Ok(key));
    assert_eq!(AgentPublicKey::from_hex("00"), Err(KeyError::Text));
    assert_eq!(AgentPublicKey::from_hex(&"z".repeat(64)), Err(KeyError::Text));
    assert_eq!(AgentPublicKey::from_hex(&"0".repeat(64)), Err(KeyError::Invalid));
}

#[test]
fn generated_keys_differ_and_survive_storage() {
    let (one, two) = (AgentKey::generate().unwrap(), AgentKey::generate().unwrap());
    assert_ne!(one.public(), two.public());
    assert_eq!(AgentKey::from_seed(one.seed().expose()).public(), one.public());
    let mint = MintKey::generate(3).unwrap();
    assert_eq!(MintKey::from_seed(3, mint.seed().expose()).public(), mint.public());
    assert_ne!(MintKey::generate(3).unwrap().public(), mint.public());
}

#[test]
fn the_ring_is_bounded_and_keeps_what_it_has() {
    let key = |key_id: u32| MintKey::from_seed(key_id, &[u8::try_from(key_id).unwrap(); 32]).public();
    let mut ring = KeyRing::new();
    for key_id in 1..=u32::try_from(KEY_RING_KEYS_MAX).unwrap() {
        let (key_id, public) = key(key_id);
        assert_eq!(ring.insert(key_id, public), Ok(()));
    }
    assert_eq!(ring.insert(200, key(200).1), Err(KeyError::Full));
    assert_eq!(ring.insert(1, key(1).1), Ok(()));
    assert_eq!(ring.insert(1, key(2).1), Err(KeyError::Conflict(1)));
    ring.remove(1);
    assert_eq!(ring.insert(200, key(200).1), Ok(()));
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!(
        "{:?} {:?} {:?}",
        samples::mint_key(),
        samples::agent_key(),
        samples::mint_key().sign(&samples::capability())
    );
    assert_eq!(shown, "MintKey { key_id: 7, .. } AgentKey(…) SignedCapability(…)");
}
