//! `adit config …`.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal};

use adit_agent::config::{self, Config, Environment, Flags, Setting, WriteError};
use adit_agent::limits::KEY_INPUT_BYTES_MAX;
use adit_agent::{ExitStatus, chain};
use adit_domain::{ApiKey, Secret};

use crate::args::{AddAuthtoken, Config as Command, Global};
use crate::console::{Closed, Console, Tone};
use crate::fail;

/// How a key reaches the agent.
pub const HOW_TO_ADD: &str = "printf %s \"$KEY\" | adit config add-authtoken";

impl Global {
    /// The part that belongs to the configuration.
    pub fn into_flags(self) -> Flags {
        Flags { server: self.server, ca_file: self.ca_file, config: self.config }
    }
}

/// Runs one of the commands.
pub fn run(command: &Command, flags: Flags, environment: Environment, console: &mut Console) -> ExitStatus {
    match command {
        Command::AddAuthtoken(arguments) => add(arguments, flags, environment, console),
        Command::Check => check(flags, environment, console),
        Command::Path => match config::path(&flags, &environment) {
            Ok(path) => {
                drop(console.line(&path.value.display().to_string()));
                ExitStatus::Success
            }
            Err(error) => fail(console, ExitStatus::Usage, &chain(&error), ""),
        },
    }
}

/// A key on the command line is refused, without repeating it, in whatever place it stands.
pub fn refuse_key_in_arguments(console: &mut Console) -> ExitStatus {
    let happened = "an API key is never taken from the command line: other users of this computer can see it \
        there, and the shell keeps it in its history";
    let advice = format!("Give it on standard input: {HOW_TO_ADD}");
    fail(console, ExitStatus::Usage, happened, &advice)
}

fn add(
    arguments: &AddAuthtoken,
    flags: Flags,
    mut environment: Environment,
    console: &mut Console,
) -> ExitStatus {
    if !arguments.given.is_empty() {
        return refuse_key_in_arguments(console);
    }
    let path = match config::path(&flags, &environment) {
        Ok(path) => path.value,
        Err(error) => return fail(console, ExitStatus::Usage, &chain(&error), ""),
    };
    let key = match given_key(arguments, environment.authtoken.take(), console) {
        Ok(key) => key,
        Err(status) => return status,
    };
    match config::add_authtoken(&path, &key) {
        Ok(()) => {
            let knows_server = Config::load(flags, environment).is_ok_and(|config| config.server.is_some());
            let next = if knows_server { "adit http 3000" } else { "adit http 3000 --server SERVER" };
            let said = console
                .line(&format!("API key …{} saved in {}", key.last4(), path.display()))
                .and_then(|()| console.line(&format!("Next: {next}")));
            // A reader that left does not undo what was saved.
            drop(said);
            ExitStatus::Success
        }
        Err(error @ WriteError::Existing(_)) => fail(console, ExitStatus::Usage, &chain(&error), ""),
        Err(error @ WriteError::Io { .. }) => fail(
            console,
            ExitStatus::Retryable,
            &chain(&error),
            "Name another file with --config, or give the key in ADIT_AUTHTOKEN.",
        ),
    }
}

fn given_key(
    arguments: &AddAuthtoken,
    from_environment: Option<Secret<String>>,
    console: &mut Console,
) -> Result<ApiKey, ExitStatus> {
    let how = format!("For example: {HOW_TO_ADD}");
    let text = if arguments.from_env {
        from_environment.ok_or_else(|| {
            let advice = "Set it to the key, or leave --from-env out and give the key on standard input.";
            fail(console, ExitStatus::Usage, "ADIT_AUTHTOKEN is not set", advice)
        })?
    } else {
        if io::stdin().is_terminal() {
            console.trouble(Tone::Plain, "add-authtoken", "reads the API key from this terminal", "");
        }
        read_key(io::stdin().lock()).map_err(|error| {
            fail(console, ExitStatus::Retryable, &format!("standard input: {error}"), &how)
        })?
    };
    if text.expose().trim().is_empty() {
        return Err(fail(console, ExitStatus::Usage, "no API key arrived on standard input", &how));
    }
    ApiKey::parse(text.expose())
        .map_err(|error| fail(console, ExitStatus::Usage, &error.to_string(), "Copy it again, whole."))
}

/// One line, bounded, so that a terminal need not send its end of file.
fn read_key(input: impl BufRead) -> io::Result<Secret<String>> {
    // With room for all of it, so that growing leaves no copies behind.
    let mut line = Vec::with_capacity(usize::try_from(KEY_INPUT_BYTES_MAX).unwrap_or(0));
    let mut input = input.take(KEY_INPUT_BYTES_MAX);
    while line.trim_ascii().is_empty() && input.read_until(b'\n', &mut line)? > 0 {}
    let line = Secret::new(line);
    Ok(Secret::new(String::from_utf8_lossy(line.expose()).into_owned()))
}

fn check(flags: Flags, environment: Environment, console: &mut Console) -> ExitStatus {
    match Config::load(flags, environment) {
        Ok(config) => {
            drop(show(&config, console));
            ExitStatus::Success
        }
        Err(error) => fail(console, error.status(), &chain(&error), ""),
    }
}

fn show(config: &Config, console: &mut Console) -> Result<(), Closed> {
    let exists = if config.exists { "" } else { " (does not exist)" };
    let path = format!("{}{exists}", config.path.value.display());
    console.field("Configuration", &path, Tone::Plain)?;
    let key = config
        .authtoken
        .as_ref()
        .map(|key| Setting { value: format!("…{}", key.value.last4()), source: key.source.clone() });
    row(console, "API key", key.as_ref())?;
    row(console, "Server", config.server.as_ref())?;
    let ca_file = config
        .ca_file
        .as_ref()
        .map(|file| Setting { value: file.value.display().to_string(), source: file.source.clone() });
    row(console, "CA file", ca_file.as_ref())
}

fn row<T: Display>(console: &mut Console, name: &str, setting: Option<&Setting<T>>) -> Result<(), Closed> {
    match setting {
        Some(setting) => {
            let text = format!("{} (from {})", setting.value, setting.source);
            console.field(name, &text, Tone::Plain)
        }
        None => console.field(name, "not set", Tone::Plain),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use adit_agent::limits::KEY_INPUT_BYTES_MAX;

    use super::read_key;

    #[test]
    fn one_line_is_read_and_no_more_than_a_bound() {
        for (input, read) in
            [("key", "key"), ("key\nmore", "key\n"), ("\n \nkey\r\n", "\n \nkey\r\n"), ("", "")]
        {
            assert_eq!(read_key(input.as_bytes()).unwrap().expose(), read);
        }
        let max = usize::try_from(KEY_INPUT_BYTES_MAX).unwrap();
        for (sent, read) in [(max - 1, max - 1), (max, max), (max + 1, max)] {
            assert_eq!(read_key("x".repeat(sent).as_bytes()).unwrap().expose().len(), read);
        }
    }
}
