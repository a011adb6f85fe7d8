//! SMTP: a client that says nothing before the server's greeting, and then takes turns with it.

use std::fs;
use std::process::Stdio;

use adit_e2e::{RawOrigin, within};
use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::mpsc::{self, Sender};

use super::{Place, WITHIN, address};

/// Lines of a letter that is longer than every buffer on the way.
const LINES: usize = 40_000;

/// What came of a letter.
#[derive(Debug, Default, PartialEq, Eq)]
struct Letter {
    from: String,
    to: Vec<String>,
    lines: Vec<String>,
}

/// The server's side of RFC 5321, section 4.1, as far as a client needs it that has one letter.
async fn serve(stream: TcpStream, delivered: Sender<Letter>) -> Result<()> {
    let mut stream = BufStream::new(stream);
    let mut letter = Letter::default();
    say(&mut stream, "220 mail.test ESMTP\r\n").await?;
    loop {
        let line = heard(&mut stream).await?;
        let (verb, rest) = line.split_once([' ', ':']).unwrap_or((&line, ""));
        match verb {
            "EHLO" => say(&mut stream, "250-mail.test\r\n250 8BITMIME\r\n").await?,
            "MAIL" => {
                letter.from = rest.to_owned();
                say(&mut stream, "250 ok\r\n").await?;
            }
            "RCPT" => {
                letter.to.push(rest.to_owned());
                say(&mut stream, "250 ok\r\n").await?;
            }
            "DATA" => {
                say(&mut stream, "354 go on\r\n").await?;
                letter.lines = text(&mut stream).await?;
                say(&mut stream, "250 taken\r\n").await?;
            }
            "QUIT" => {
                say(&mut stream, "221 bye\r\n").await?;
                return Ok(delivered.send(letter).await?);
            }
            _ => bail!("a client says {line:?}"),
        }
    }
}

async fn say(stream: &mut BufStream<TcpStream>, answer: &str) -> Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    Ok(stream.flush().await?)
}

/// A line without its end.
async fn heard(stream: &mut BufStream<TcpStream>) -> Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    Ok(line.strip_suffix("\r\n").with_context(|| format!("half a line: {line:?}"))?.to_owned())
}

/// The lines up to one that is a dot. A dot before a line was put there by the client (section 4.5.2).
async fn text(stream: &mut BufStream<TcpStream>) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let line = heard(stream).await?;
        if line == "." {
            return Ok(lines);
        }
        lines.push(line.strip_prefix('.').unwrap_or(&line).to_owned());
    }
}

#[tokio::test]
async fn curl_delivers_a_letter() -> Result<()> {
    let place = Place::start().await?;
    let (delivered, mut letters) = mpsc::channel(2);
    let server = RawOrigin::start(move |stream| serve(stream, delivered.clone())).await?;
    let mut agent = place.tcp(&server.port(), &[])?;
    let port = address(&agent.url().await?)?.port();
    let lines: Vec<_> = (0..LINES).map(|n| format!("line {n} of a letter")).collect();
    let file = place.home.path().join("letter");
    fs::write(&file, lines.join("\r\n") + "\r\n")?;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "60", "--mail-from", "anna@acme.test"]);
    curl.args(["--mail-rcpt", "otto@mail.test", "--mail-rcpt", "ida@mail.test", "--upload-file"]).arg(&file);
    curl.arg(format!("smtp://127.0.0.1:{port}/visitor.test")).stdin(Stdio::null()).kill_on_drop(true);
    let output = within("curl ends", 2 * WITHIN, curl.output()).await?.context("no curl")?;
    assert!(output.status.success(), "{output:?}");
    let letter = within("the letter", WITHIN, letters.recv()).await?.context("no letter")?;
    assert_eq!(letter.from, "FROM:<anna@acme.test>");
    assert_eq!(letter.to, ["TO:<otto@mail.test>", "TO:<ida@mail.test>"]);
    assert!(letter.lines == lines, "{} lines", letter.lines.len());
    Ok(())
}
