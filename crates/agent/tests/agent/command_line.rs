//! What needs no server: keys, files, mistakes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::program::Home;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_key_on_the_command_line_is_refused_wherever_it_stands() {
    let home = Home::new();
    let key = home.key.expose().to_owned();
    let short = &key[..40];
    let flag = format!("--authtoken={key}");
    let upstream = format!("http://{key}:3000");
    let cases: [&[&str]; 8] = [
        &["config", "add-authtoken", &key],
        &["config", "add-authtoken", short],
        &["config", "add-authtoken", "2abcNgrokLooksLikeThis_5xyz"],
        &["http", "3000", "--authtoken", &key],
        &["http", "3000", &flag],
        &["--authtoken", "anything", "http", "3000"],
        &["http", &upstream],
        &["version", &key],
    ];
    for arguments in cases {
        let ended = home.run(arguments, "").await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("printf %s \"$KEY\" | adit config add-authtoken"), "{ended:?}");
        assert!(!ended.stderr.contains("NgrokLooksLikeThis"), "{ended:?}");
        assert!(!home.config().exists());
    }
}

#[tokio::test]
async fn a_key_from_standard_input_is_saved_for_its_owner_only() {
    let home = Home::new();
    let ended = home.run(&["config", "add-authtoken"], home.key.expose()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.stdout.contains(home.key.last4()) && ended.stdout.contains("adit http 3000 --server SERVER")
    );
    assert_eq!(
        fs::read_to_string(home.config()).unwrap(),
        format!("authtoken = \"{}\"\n", home.key.expose())
    );
    assert_eq!((mode(&home.config()), mode(home.config().parent().unwrap())), (0o600, 0o700));

    let checked = home.run(&["config", "check"], "").await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("adit.toml:1)") && checked.stdout.contains("not set"), "{checked:?}");
}

#[tokio::test]
async fn a_key_from_the_environment_is_saved_on_demand() {
    let mut home = Home::new();
    let missing = home.run(&["config", "add-authtoken", "--from-env"], "").await;
    assert_eq!(missing.code, Some(2), "{missing:?}");
    home.set("ADIT_AUTHTOKEN", home.key.expose().to_owned());
    home.set("ADIT_SERVER", "adit.example".to_owned());
    let saved = home.run(&["config", "add-authtoken", "--from-env"], "").await;
    assert_eq!(saved.code, Some(0), "{saved:?}");
    assert!(saved.stdout.ends_with("Next: adit http 3000\n"), "{saved:?}");
    assert!(fs::read_to_string(home.config()).unwrap().contains(home.key.expose()));
}

#[tokio::test]
async fn what_is_no_key_is_not_saved_and_not_repeated() {
    let home = Home::new();
    let cut = &home.key.expose()[..53];
    for (input, says) in [("", "no API key"), ("xyz_CANARY", "starts with `adit_`"), (cut, "54 characters")] {
        let ended = home.run(&["config", "add-authtoken"], input).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(says) && !ended.stderr.contains("CANARY"), "{ended:?}");
        assert!(!home.config().exists());
    }
}

#[tokio::test]
async fn mistakes_in_the_file_name_the_line() {
    let home = Home::new();
    home.run(&["config", "add-authtoken"], home.key.expose()).await;
    let text = fs::read_to_string(home.config()).unwrap();
    fs::write(home.config(), format!("{text}\ninsecure = true\n")).unwrap();
    for arguments in [&["config", "check"] as &[&str], &["http", "3000"]] {
        let ended = home.run(arguments, "").await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let place = format!("{}:3: unknown field `insecure`", home.config().display());
        assert!(ended.stderr.replace("\n  ", " ").contains(&place), "{ended:?}");
    }
}

#[tokio::test]
async fn a_file_that_others_can_read_is_refused() {
    let home = Home::new();
    home.run(&["config", "add-authtoken"], home.key.expose()).await;
    fs::set_permissions(home.config(), fs::Permissions::from_mode(0o640)).unwrap();
    let ended = home.run(&["http", "3000"], "").await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.replace("\n  ", " ").contains("chmod 600"), "{ended:?}");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let mut home = Home::new();
    let no_key = home.run(&["http", "3000"], "").await;
    assert_eq!(no_key.code, Some(4), "{no_key:?}");
    assert!(no_key.stderr.contains("no API key"), "{no_key:?}");
    home.set("ADIT_AUTHTOKEN", "adit_nonsense".to_owned());
    let no_key = home.run(&["http", "3000", "--json"], "").await;
    assert_eq!((no_key.code, no_key.last_event()["exit_code"].as_i64()), (Some(4), Some(4)), "{no_key:?}");
    home.set("ADIT_AUTHTOKEN", home.key.expose().to_owned());
    let no_server = home.run(&["http", "3000", "--json"], "").await;
    assert_eq!(no_server.code, Some(2), "{no_server:?}");
    assert_eq!(no_server.last_event()["exit_code"], 2);
    let no_upstream = home.run(&["http", "localhost"], "").await;
    assert_eq!(no_upstream.code, Some(2), "{no_upstream:?}");
    assert!(no_upstream.stderr.contains("localhost:3000"), "{no_upstream:?}");
    let mixed = home.run(&["http", "3000", "--json", "--log", "stdout"], "").await;
    assert_eq!(mixed.code, Some(2), "{mixed:?}");
}

#[tokio::test]
async fn answers_go_to_standard_output() {
    let home = Home::new();
    let version = home.run(&["version"], "").await;
    assert_eq!(
        (version.code, version.stdout.as_str()),
        (Some(0), concat!("adit ", env!("CARGO_PKG_VERSION"), "\n"))
    );
    let path = home.run(&["config", "path"], "").await;
    assert_eq!(path.stdout.trim_end(), home.config().display().to_string());
    assert!(home.run(&["--help"], "").await.stdout.contains("adit config add-authtoken"));
}
