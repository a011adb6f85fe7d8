//! The cookie that brings a visitor back to the member of a pool that served it before.

use adit_domain::id::{EndpointId, InstanceId};
use adit_web::hygiene::Scheme;
use aws_lc_rs::digest::{SHA256, digest};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

/// The cookie's name, and what stands between that and its value.
const PREFIX: &str = "adit-sticky=";

/// What it is hashed for, so that the value means nothing elsewhere.
const DOMAIN: &[u8] = b"adit/1 sticky";

/// Bytes of the hash that are shown.
const MARK_LEN: usize = 16;

/// What stands in the cookie: a hash of the endpoint and of the member's instance, which visitors do not know. It is the
/// same on every node and after a restart. Whatever else a visitor writes there is no member's, and counts as nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark([u8; MARK_LEN]);

impl Mark {
    pub(crate) fn of(endpoint: EndpointId, instance: InstanceId) -> Self {
        let text = [DOMAIN, &endpoint.to_bytes(), &instance.to_bytes()].concat();
        let digest = digest(&SHA256, &text);
        let mut mark = [0; MARK_LEN];
        mark.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(mark)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 2 * MARK_LEN)?;
        u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()))
    }

    fn text(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Takes our cookie out of a request: it is nothing to the upstream. Of several the first counts.
pub(crate) fn take(headers: &mut HeaderMap) -> Option<Mark> {
    let is_ours = |crumb: &&[u8]| crumb.trim_ascii_start().starts_with(PREFIX.as_bytes());
    let holds_one = |value: &HeaderValue| value.as_bytes().split(|b| *b == b';').any(|c| is_ours(&c));
    if !headers.get_all(COOKIE).iter().any(holds_one) {
        return None;
    }
    let mut mark = None;
    let fields: Vec<HeaderValue> = headers.get_all(COOKIE).iter().cloned().collect();
    headers.remove(COOKIE);
    for field in fields {
        let crumbs = field.as_bytes().split(|byte| *byte == b';');
        let (ours, others): (Vec<_>, Vec<_>) = crumbs.partition(is_ours);
        let value = ours.first().and_then(|crumb| crumb.trim_ascii().get(PREFIX.len()..));
        mark = mark.or_else(|| value.and_then(Mark::parse));
        let rest = others.join(&b';');
        // What was a header value without some of its crumbs is one too.
        if let Ok(rest) = HeaderValue::from_bytes(rest.trim_ascii())
            && !rest.is_empty()
        {
            headers.append(COOKIE, rest);
        }
    }
    mark
}

/// Adds our cookie to a response. It ends with the browser's session.
pub(crate) fn put(headers: &mut HeaderMap, mark: Mark, scheme: Scheme) {
    let secure = match scheme {
        Scheme::Https => "; Secure",
        Scheme::Http => "",
    };
    let cookie = format!("{PREFIX}{}; Path=/; HttpOnly; SameSite=Lax{secure}", mark.text());
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        headers.append(SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use adit_domain::id::{EndpointId, InstanceId};
    use adit_web::hygiene::Scheme;
    use http::HeaderMap;
    use http::header::{COOKIE, SET_COOKIE};

    use super::{Mark, put, take};

    fn cookies(fields: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(COOKIE, field.parse().unwrap());
        }
        headers
    }

    fn left(headers: &HeaderMap) -> Vec<&str> {
        headers.get_all(COOKIE).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn what_was_put_is_taken_and_the_upstream_sees_nothing_of_it() {
        let mark = Mark::of(EndpointId::new(), InstanceId::new());
        let mut response = HeaderMap::new();
        put(&mut response, mark, Scheme::Https);
        let set = response.get(SET_COOKIE).unwrap().to_str().unwrap();
        let (pair, attributes) = set.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Secure");
        for (fields, rest) in [
            (vec![pair.to_owned()], vec![]),
            (vec![format!("a=1; {pair}; b=2")], vec!["a=1; b=2"]),
            (vec!["a=1".to_owned(), pair.to_owned(), "b=2".to_owned()], vec!["a=1", "b=2"]),
            (vec![format!("{pair}; a=\"adit\"")], vec!["a=\"adit\""]),
            (vec![format!("{pair}; adit-sticky=0; c")], vec!["c"]),
        ] {
            let mut headers = cookies(&fields.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(take(&mut headers), Some(mark), "{fields:?}");
            assert_eq!(left(&headers), rest);
        }
        put(&mut response, mark, Scheme::Http);
        assert!(
            !response.get_all(SET_COOKIE).iter().next_back().unwrap().to_str().unwrap().contains("Secure")
        );
    }

    #[test]
    fn nonsense_is_nobody() {
        for text in ["", "0", "zz", &"0".repeat(31), &"0".repeat(33), &format!("+{}", "0".repeat(31))] {
            let mut headers = cookies(&[&format!("a=1; adit-sticky={text}")]);
            let other = Mark::of(EndpointId::new(), InstanceId::new());
            assert_ne!(take(&mut headers), Some(other), "{text}");
            assert_eq!(left(&headers), ["a=1"]);
        }
        let mut headers = cookies(&["xadit-sticky=1; adit-stickyx=1"]);
        assert_eq!((take(&mut headers), left(&headers).len()), (None, 1));
    }

    #[test]
    fn marks_differ_by_endpoint_and_by_instance() {
        let (endpoint, instance) = (EndpointId::new(), InstanceId::new());
        let mark = Mark::of(endpoint, instance);
        assert_eq!(mark, Mark::of(endpoint, instance));
        assert_ne!(mark, Mark::of(EndpointId::new(), instance));
        assert_ne!(mark, Mark::of(endpoint, InstanceId::new()));
        assert!(!mark.text().contains(&instance.to_string().replace('-', "")));
    }
}
