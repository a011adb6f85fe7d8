//! The page that a browser gets: one file, no script, nothing loaded.

use adit_api::Code;
use adit_domain::id::RequestId;

use super::{moment, side};

/// What the page may do: show itself, with its own style.
pub(super) const SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const TEMPLATE: &str = include_str!("page.html");

/// The page for a code. At most 6 kB; the texts come from the table of codes and hold no markup.
pub(super) fn render(code: Code, request_id: RequestId) -> String {
    TEMPLATE
        .replace("{{title}}", &escaped(code.title()))
        .replace("{{side}}", side(code.side()))
        .replace("{{advice}}", &marked(code.advice()))
        .replace("{{code}}", &code.to_string())
        .replace("{{status}}", &code.status().to_string())
        .replace("{{request}}", &request_id.to_string())
        .replace("{{time}}", &moment::of(request_id).unwrap_or_else(|| "unknown".to_owned()))
}

/// The text with what stands between backticks set as code.
fn marked(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in escaped(text).split('`').enumerate() {
        match index {
            0 => {}
            odd if !odd.is_multiple_of(2) => html.push_str("<code>"),
            _ => html.push_str("</code>"),
        }
        html.push_str(part);
    }
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
