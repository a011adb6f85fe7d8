#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::PathBuf;

use adit_domain::{ApiKey, Secret};
use tempfile::TempDir;

use super::{Config, ConfigError, Environment, Flags, Source, add_authtoken};
use crate::limits::CONFIG_BYTES_MAX;
use crate::private_file;

struct Fixture {
    folder: TempDir,
    flags: Flags,
    environment: Environment,
}

impl Fixture {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("adit.toml");
        private_file::replace(&config, text).unwrap();
        let environment = Environment { config: Some(config), ..Environment::default() };
        Self { folder, flags: Flags::default(), environment }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("adit.toml")
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self.flags.clone(), self.environment.clone())
    }

    fn error(&self) -> String {
        self.load().unwrap_err().to_string().replace(&self.path().display().to_string(), "FILE")
    }
}

#[test]
fn flag_before_environment_before_file() {
    let mut fixture = Fixture::new("\nserver = \"file.example\"\nca_file = \"ca.pem\"\n");
    let server = |fixture: &Fixture| {
        let setting = fixture.load().unwrap().server.unwrap();
        (setting.value.host().to_owned(), setting.source)
    };
    let in_file = Source::File { path: fixture.path(), line: 2 };
    assert_eq!(server(&fixture), ("file.example".to_owned(), in_file));
    let ca_file = fixture.load().unwrap().ca_file.unwrap();
    assert_eq!(ca_file.value, fixture.folder.path().join("ca.pem"));

    fixture.environment.server = Some("variable.example".to_owned());
    fixture.environment.ca_file = Some(PathBuf::from("variable.pem"));
    assert_eq!(server(&fixture), ("variable.example".to_owned(), Source::Environment("ADIT_SERVER")));
    assert_eq!(fixture.load().unwrap().ca_file.unwrap().value, PathBuf::from("variable.pem"));

    fixture.flags.server = Some("https://flag.example:8443".to_owned());
    fixture.flags.ca_file = Some(PathBuf::from("flag.pem"));
    assert_eq!(server(&fixture), ("flag.example".to_owned(), Source::Flag("--server")));
    assert_eq!(fixture.load().unwrap().ca_file.unwrap().value, PathBuf::from("flag.pem"));
}

#[test]
fn key_from_the_environment_before_the_file() {
    let (first, second) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let mut fixture = Fixture::new(&format!("authtoken = \"{}\"\n", first.expose()));
    let key = |fixture: &Fixture| fixture.load().unwrap().authtoken.unwrap().value.expose().to_owned();
    assert_eq!(key(&fixture), first.expose());
    fixture.environment.authtoken = Some(Secret::new(second.expose().to_owned()));
    assert_eq!(key(&fixture), second.expose());
    fixture.environment.authtoken = Some(Secret::new("adit_canary".to_owned()));
    assert_eq!(
        fixture.error(),
        "the API key from the environment variable ADIT_AUTHTOKEN cannot be used: an API key has 54 characters"
    );
}

#[test]
fn where_the_file_is() {
    let mut fixture = Fixture::new("");
    assert!(fixture.load().unwrap().exists);
    assert_eq!(fixture.load().unwrap().agent_key_path(), fixture.folder.path().join("agent.key"));

    let missing = fixture.folder.path().join("missing.toml");
    fixture.flags.config = Some(missing.clone());
    let error = fixture.load().unwrap_err().to_string();
    assert_eq!(error, format!("{} does not exist (--config)", missing.display()));

    let nobody = super::path(&Flags::default(), &Environment::default()).unwrap();
    assert!(nobody.value.ends_with("adit/adit.toml"), "{:?}", nobody.value);
    assert_eq!(nobody.source, Source::Default);
}

#[test]
fn mistakes_name_the_line_and_never_the_key() {
    let cases = [
        ("server = 'a'\nauthtokn = 'adit_CANARYCANARY'\n", "FILE:2: unknown field `authtokn`, "),
        ("server = 'a'\n\nauthtoken = adit_CANARYCANARY\n", "FILE:3: "),
        ("adit_CANARYCANARY\n", "FILE:1: "),
        ("[adit_CANARYCANARY]\n", "FILE:1: unknown field `adit_…`, "),
        ("authtoken = ['adit_CANARYCANARY']", "FILE:1: invalid type: sequence, "),
        ("authtoken = 'adit_CANARYCANARY'\nserver = 'a'", "the API key from FILE:1 cannot be used: "),
        ("authtoken = 'xyz_CANARYCANARY'", "the API key from FILE:1 cannot be used: "),
        ("authtoken = \"adit_CANARYCANARY\n", "FILE:1: "),
        ("server = 'http://a'", "the server from FILE:1 cannot be used: it must start with https://"),
        ("insecure = true", "FILE:1: unknown field `insecure`, "),
    ];
    for (text, start) in cases {
        let error = Fixture::new(text).error();
        assert!(error.starts_with(start), "{text:?} gave {error:?}");
        assert!(!error.contains("CANARY"), "{text:?} gave {error:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new("");
    fs::set_permissions(fixture.path(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(fixture.error().ends_with("make it private: chmod 600 FILE"), "{}", fixture.error());
}

#[test]
fn adding_a_key_keeps_the_rest() {
    let key = ApiKey::generate().unwrap();
    let line = format!("authtoken = \"{}\"", key.expose());
    let cases = [
        ("", format!("{line}\n")),
        ("# mine\nserver = 'a'\n", format!("{line}\n# mine\nserver = 'a'\n")),
        ("\u{feff}server = 'a'\n", format!("\u{feff}{line}\nserver = 'a'\n")),
        ("\u{feff}authtoken = 'old'\n", format!("\u{feff}{line}\n")),
        (
            "server = 'a'\nauthtoken = 'old' # mine\nca_file = 'b'",
            format!("server = 'a'\n{line} # mine\nca_file = 'b'"),
        ),
    ];
    for (old, new) in cases {
        let fixture = Fixture::new(old);
        add_authtoken(&fixture.path(), &key).unwrap();
        assert_eq!(fs::read_to_string(fixture.path()).unwrap(), new);
        assert_eq!(fixture.load().unwrap().authtoken.unwrap().value.expose(), key.expose());
    }
}

#[test]
fn adding_a_key_leaves_alone_what_it_does_not_understand() {
    let fixture = Fixture::new("server = \n");
    assert!(add_authtoken(&fixture.path(), &ApiKey::generate().unwrap()).is_err());
    assert_eq!(fs::read_to_string(fixture.path()).unwrap(), "server = \n");
}

#[test]
fn a_file_of_so_many_bytes_is_read_and_no_longer_one() {
    for (bytes, is_read) in
        [(CONFIG_BYTES_MAX - 1, true), (CONFIG_BYTES_MAX, true), (CONFIG_BYTES_MAX + 1, false)]
    {
        let remark = "#".repeat(usize::try_from(bytes).unwrap());
        let fixture = Fixture::new(&remark);
        assert_eq!(fixture.load().is_ok(), is_read, "{bytes}");
        let key = ApiKey::generate().unwrap();
        assert_eq!(add_authtoken(&fixture.path(), &key).is_ok(), is_read, "{bytes}");
    }
}
