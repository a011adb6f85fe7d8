#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use adit_domain::Timestamp;

use super::{AUTHORITY_FILE, CERTIFICATE_FILE, DevCa, DevCaError};
use crate::limits::{DEV_CA_LIFETIME, DEV_CA_REMAINING_MIN};

/// A whole second, as certificates have no smaller unit.
const NOW: Timestamp = Timestamp::from_micros(1_795_222_812_000_000);

fn certificate(folder: &Path) -> String {
    fs::read_to_string(folder.join(CERTIFICATE_FILE)).unwrap()
}

#[test]
fn it_is_made_once_and_loaded_after() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("tls");
    let made = DevCa::create_or_load(&inside, NOW).unwrap();
    assert_eq!(made.expires_at(), NOW.plus(DEV_CA_LIFETIME));
    let before = certificate(&inside);
    assert!(before.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(!before.contains("PRIVATE"));

    let loaded = DevCa::create_or_load(&inside, NOW).unwrap();
    assert_eq!(certificate(&inside), before);
    assert_eq!(loaded.expires_at(), made.expires_at());
    assert_eq!(loaded.ca_pem_path(), inside.join(CERTIFICATE_FILE));
}

#[test]
fn it_is_replaced_once_a_day_is_left() {
    let last_good = NOW.plus(DEV_CA_LIFETIME).minus(DEV_CA_REMAINING_MIN).minus(Duration::from_micros(1));
    for (later, kept) in [
        (last_good.minus(Duration::from_micros(1)), true),
        (last_good, true),
        (last_good.plus(Duration::from_micros(1)), false),
        (NOW.plus(DEV_CA_LIFETIME), false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        DevCa::create_or_load(folder.path(), NOW).unwrap();
        let before = certificate(folder.path());
        let loaded = DevCa::create_or_load(folder.path(), later).unwrap();
        assert_eq!(certificate(folder.path()) == before, kept, "{later}");
        assert!(loaded.expires_at() > later.plus(DEV_CA_REMAINING_MIN));
    }
}

#[cfg(unix)]
#[test]
fn its_files_are_for_the_owner_only_and_nothing_else_is_left() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("tls");
    DevCa::create_or_load(&inside, NOW).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inside), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&inside).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600);
        names.push(entry.file_name());
    }
    names.sort();
    assert_eq!(names, [AUTHORITY_FILE, CERTIFICATE_FILE]);
}

#[test]
fn a_damaged_one_is_replaced() {
    for damaged in ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(AUTHORITY_FILE), damaged).unwrap();
        DevCa::create_or_load(folder.path(), NOW).unwrap();
        assert!(certificate(folder.path()).contains("BEGIN CERTIFICATE"));
    }
}

#[test]
fn a_removed_certificate_file_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    DevCa::create_or_load(folder.path(), NOW).unwrap();
    let before = certificate(folder.path());
    fs::remove_file(folder.path().join(CERTIFICATE_FILE)).unwrap();
    DevCa::create_or_load(folder.path(), NOW).unwrap();
    assert_eq!(certificate(folder.path()), before);
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = DevCa::create_or_load(&file.join("below"), NOW).unwrap_err();
    assert!(matches!(error, DevCaError::Write { .. }));
    assert!(error.to_string().contains("below"));
}
