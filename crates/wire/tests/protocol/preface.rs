//! Both prefaces, and the proof that the agent holds its key on this very connection.

use adit_domain::id::NodeId;
use adit_wire::capability::{AgentKey, CapabilityError};
use adit_wire::preface::{
    AGENT_PREFACE_LEN, AgentPreface, PrefaceError, SERVER_PREFACE_LEN, ServerPreface, Status,
};
use proptest::prelude::*;

use crate::{by_hand, samples, vectors};

const SIGNED: usize = 256;

fn signed() -> [u8; AGENT_PREFACE_LEN] {
    samples::agent_preface().sign(&samples::agent_key(), &samples::EXPORTER)
}

#[test]
fn the_agents_vector() {
    let vector = vectors::exactly::<AGENT_PREFACE_LEN>(&vectors::agent_preface());
    assert_eq!(signed(), vector);
    let (preface, possession) = AgentPreface::decode(&vector).unwrap();
    assert_eq!(preface, samples::agent_preface());
    assert_eq!(possession.verify(&samples::agent_key().public(), &samples::EXPORTER), Ok(()));
}

#[test]
fn the_nodes_vectors() {
    let refusal = ServerPreface::refusal(Status::Overloaded, 5_000, NodeId::from_bytes(samples::id(7)));
    let cases = [
        (vectors::server_preface_ok(), samples::server_preface()),
        (vectors::server_preface_refused(), refusal),
    ];
    for (vector, preface) in cases {
        let vector = vectors::exactly::<SERVER_PREFACE_LEN>(&vector);
        assert_eq!(preface.encode(), vector);
        assert_eq!(ServerPreface::decode(&vector), Ok(preface));
    }
}

proptest! {
    #[test]
    fn agents_as_the_second_encoder(
        preface in samples::any_agent_preface(),
        seed in any::<[u8; 32]>(),
        exporter in any::<[u8; 32]>(),
    ) {
        let key = AgentKey::from_seed(&seed);
        let bytes = preface.sign(&key, &exporter);
        prop_assert_eq!(bytes[..SIGNED].to_vec(), by_hand::agent_block(&preface));
        let (read, possession) = AgentPreface::decode(&bytes).unwrap();
        prop_assert_eq!(read, preface);
        prop_assert_eq!(possession.verify(&key.public(), &exporter), Ok(()));
    }

    #[test]
    fn nodes_as_the_second_encoder(preface in samples::any_server_preface()) {
        let bytes = preface.encode();
        prop_assert_eq!(bytes.to_vec(), by_hand::server_preface(&preface));
        prop_assert_eq!(ServerPreface::decode(&bytes), Ok(preface));
    }
}

#[test]
fn possession_holds_for_one_connection_one_block_and_one_key() {
    let (key, bytes) = (samples::agent_key().public(), signed());
    let proof = |bytes: &[u8; AGENT_PREFACE_LEN]| AgentPreface::decode(bytes).unwrap().1;
    let mut other_exporter = samples::EXPORTER;
    other_exporter[31] ^= 1;
    assert_eq!(proof(&bytes).verify(&key, &other_exporter), Err(PrefaceError::Possession));
    let other_key = AgentKey::from_seed(&[0x42; 32]).public();
    assert_eq!(proof(&bytes).verify(&other_key, &samples::EXPORTER), Err(PrefaceError::Possession));
    let foreign = samples::agent_preface().sign(&AgentKey::from_seed(&[0x42; 32]), &samples::EXPORTER);
    assert_eq!(proof(&foreign).verify(&key, &samples::EXPORTER), Err(PrefaceError::Possession));
}

#[test]
fn every_flipped_bit_of_the_agents_block_is_noticed() {
    let key = samples::agent_key().public();
    for bit in 0..AGENT_PREFACE_LEN * 8 {
        let mut bytes = signed();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let outcome =
            AgentPreface::decode(&bytes).and_then(|(_, proof)| proof.verify(&key, &samples::EXPORTER));
        assert!(outcome.is_err(), "bit {bit}");
    }
}

#[test]
fn an_agent_with_impossible_versions() {
    for (low, high, expected) in
        [(0, 1, Err(PrefaceError::VersionRange)), (2, 1, Err(PrefaceError::VersionRange)), (1, 1, Ok(()))]
    {
        let preface = AgentPreface { version_min: low, version_max: high, ..samples::agent_preface() };
        let bytes = preface.sign(&samples::agent_key(), &samples::EXPORTER);
        assert_eq!(AgentPreface::decode(&bytes).map(|_| ()), expected);
    }
}

#[test]
fn the_version_that_both_speak() {
    for (low, high, expected) in [(1, 1, Some(1)), (1, 9, Some(1)), (2, 9, None)] {
        let preface = AgentPreface { version_min: low, version_max: high, ..samples::agent_preface() };
        assert_eq!(preface.version(), expected);
    }
}

#[test]
fn what_a_later_version_puts_into_reserved_bytes_is_ignored() {
    let mut bytes = samples::server_preface().encode();
    bytes[36] = 1;
    bytes[SERVER_PREFACE_LEN - 1] = 1;
    assert_eq!(ServerPreface::decode(&bytes), Ok(samples::server_preface()));
    let mut bytes = signed();
    bytes[12] = 1;
    bytes[SIGNED - 1] = 1;
    assert_eq!(AgentPreface::decode(&bytes).map(|(preface, _)| preface), Ok(samples::agent_preface()));
}

#[test]
fn something_else_than_a_preface() {
    let mut agent = [b' '; AGENT_PREFACE_LEN];
    agent[..16].copy_from_slice(b"GET / HTTP/1.1\r\n");
    assert_eq!(AgentPreface::decode(&agent).map(|_| ()), Err(PrefaceError::Magic));
    assert_eq!(ServerPreface::decode(&[0; SERVER_PREFACE_LEN]), Err(PrefaceError::Magic));
}

#[test]
fn errors_and_the_status_they_are_answered_with() {
    assert_eq!(PrefaceError::Possession.status(), Status::PossessionInvalid);
    assert_eq!(PrefaceError::Magic.status(), Status::Malformed);
    assert_eq!(Status::from(CapabilityError::Expired), Status::CapabilityExpired);
    assert_eq!(Status::from(CapabilityError::UnknownKey(1)), Status::CapabilityInvalid);
}

/// The table of `docs/protocol.md`.
#[test]
fn what_each_status_asks_of_the_agent() {
    let stops: Vec<_> = Status::ALL.iter().filter(|status| status.is_permanent()).map(|s| s.code()).collect();
    assert_eq!(stops, [1, 5, 9]);
    let exchanges: Vec<_> =
        Status::ALL.iter().filter(|status| status.wants_new_capability()).map(|s| s.code()).collect();
    assert_eq!(exchanges, [2, 3, 4]);
    assert_eq!(Status::from_code(999), Status::Unknown(999));
    assert!(!Status::Unknown(999).is_permanent());
    assert_eq!(
        (Status::RateLimited.to_string(), Status::Unknown(999).to_string()),
        ("rate_limited".into(), "unknown (999)".into())
    );
}
