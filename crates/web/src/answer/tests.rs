#![expect(clippy::unwrap_used, reason = "tests")]

use adit_api::{Code, Problem};
use adit_domain::id::RequestId;
use http::{HeaderMap, HeaderValue, Version};
use http_body_util::BodyExt;

use super::{ADIT_ERROR, ADIT_REQUEST_ID, answer, refuse};
use crate::reject::Reject;

const PAGE_BYTES_MAX: usize = 6 * 1024;

fn asking(accept: &'static str, agent: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !accept.is_empty() {
        headers.insert("accept", HeaderValue::from_static(accept));
    }
    if !agent.is_empty() {
        headers.insert("user-agent", HeaderValue::from_static(agent));
    }
    headers
}

async fn text(code: Code, id: RequestId, headers: &HeaderMap) -> String {
    let bytes = answer(code, id, headers).into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn kind(accept: &'static str, agent: &'static str) -> String {
    let response = answer(Code::AgentOffline, RequestId::new(), &asking(accept, agent));
    response.headers().get("content-type").unwrap().to_str().unwrap().to_owned()
}

#[test]
fn the_shape_that_is_preferred() {
    const PAGE: &str = "text/html; charset=utf-8";
    const PROBLEM: &str = "application/problem+json";
    const TEXT: &str = "text/plain; charset=utf-8";
    for (accept, agent, wanted) in [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Mozilla/5.0", PAGE),
        ("TEXT/HTML", "", PAGE),
        ("application/json, text/plain, */*", "axios/1.7", PROBLEM),
        ("application/json", "curl/8.5.0", PROBLEM),
        ("application/vnd.github+json", "", PROBLEM),
        ("text/html;q=0.5, application/json", "", PROBLEM),
        ("text/html;q=0, application/json;q=0.001", "", PROBLEM),
        ("text/plain", "", TEXT),
        ("text/*", "", TEXT),
        ("*/*", "curl/8.5.0", TEXT),
        ("", "Wget/1.21", TEXT),
        ("*/*", "python-requests/2.32", PROBLEM),
        ("", "", PROBLEM),
        ("image/webp", "", PROBLEM),
        (",;q=,,", "", PROBLEM),
    ] {
        assert_eq!(kind(accept, agent), wanted, "{accept:?} {agent:?}");
    }
}

#[tokio::test]
async fn every_code_has_its_page() {
    for code in Code::ALL {
        let id = RequestId::new();
        let page = text(*code, id, &asking("text/html", "")).await;
        assert!(page.len() <= PAGE_BYTES_MAX, "{code}: {} bytes", page.len());
        assert!(page.contains(&code.to_string()) && page.contains(&id.to_string()), "{code}");
        assert!(page.contains(" UTC</dd>"), "{code}: no time");
        for unwanted in ["{{", "<script", "http:", "https:", "url(", "src=", "`"] {
            assert!(!page.contains(unwanted), "{code} has {unwanted}");
        }
        assert_eq!(page.matches("<code>").count(), page.matches("</code>").count(), "{code}");
    }
}

#[tokio::test]
async fn every_code_has_its_problem() {
    for code in Code::ALL {
        let id = RequestId::new();
        let problem = text(*code, id, &asking("application/json", "")).await;
        let wanted = Problem { request_id: Some(id.to_string()), ..Problem::new(*code) };
        assert_eq!(serde_json::from_str::<Problem>(&problem).unwrap(), wanted);
        assert!(["visitor", "owner", "adit"].contains(&wanted.side.as_str()), "{code}");
    }
}

#[tokio::test]
async fn text_is_short_and_whole() {
    let id = RequestId::new();
    let plain = text(Code::AgentOffline, id, &asking("*/*", "curl/8.5.0")).await;
    assert_eq!(plain.lines().count(), 4, "{plain}");
    assert!(plain.contains("on the side of whoever runs this address"), "{plain}");
    assert!(plain.starts_with("ADIT-2001: ") && plain.ends_with(&format!("Request {id}\n")), "{plain}");
}

#[test]
fn headers_of_every_answer() {
    for code in Code::ALL {
        let id = RequestId::new();
        let response = answer(*code, id, &HeaderMap::new());
        assert_eq!(response.status().as_u16(), code.status());
        let headers = response.headers();
        assert_eq!(headers.get(ADIT_ERROR).unwrap(), &code.to_string());
        assert_eq!(headers.get(ADIT_REQUEST_ID).unwrap(), &id.to_string());
        assert_eq!(headers.get("cache-control").unwrap(), "no-store");
        assert_eq!(headers.get("x-content-type-options").unwrap(), "nosniff");
        assert_eq!(headers.contains_key("retry-after"), [429, 503].contains(&code.status()), "{code}");
        assert_eq!(headers.contains_key("allow"), code.status() == 405, "{code}");
        assert_eq!(headers.contains_key("www-authenticate"), code.status() == 401, "{code}");
    }
    let page = answer(Code::Internal, RequestId::new(), &asking("text/html", ""));
    let policy = page.headers().get("content-security-policy").unwrap().to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
}

#[test]
fn a_refusal_closes_http1_only() {
    for (version, closes) in [(Version::HTTP_10, true), (Version::HTTP_11, true), (Version::HTTP_2, false)] {
        let response = refuse(Reject::HostMalformed, RequestId::new(), version, &HeaderMap::new());
        assert_eq!(response.headers().contains_key("connection"), closes, "{version:?}");
    }
}
