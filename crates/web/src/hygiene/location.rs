//! Where a response sends the visitor.

use http::header::LOCATION;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};

use super::request::Forwarded;

/// Turns a `Location` at `upstream`, the host that the upstream was sent, into the same place at the host that the visitor
/// asked for. One that names another host, or none, stays as it is.
pub fn location(response: &mut HeaderMap, upstream: &Authority, visitor: &Forwarded) {
    let Some(field) = response.get(LOCATION) else { return };
    if let Some(location) = moved(field, upstream, visitor) {
        response.insert(LOCATION, location);
    }
}

fn moved(field: &HeaderValue, upstream: &Authority, visitor: &Forwarded) -> Option<HeaderValue> {
    let text = field.to_str().ok()?;
    let (scheme, rest) = text.split_once("://")?;
    let (authority, path) = rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    // The port that goes without saying may be said all the same.
    let plain = |text: &str| text.strip_suffix(default).unwrap_or(text).to_ascii_lowercase();
    if plain(authority) != plain(upstream.as_str()) {
        return None;
    }
    let (scheme, authority) = (visitor.scheme.as_str(), &visitor.authority);
    HeaderValue::try_from(format!("{scheme}://{authority}{path}")).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::{IpAddr, Ipv4Addr};

    use http::HeaderMap;
    use http::header::LOCATION;

    use super::location;
    use crate::authority::RequestAuthority;
    use crate::hygiene::{Forwarded, Scheme};

    #[test]
    fn only_the_upstreams_own_places_are_moved() {
        let visitor = Forwarded {
            visitor: IpAddr::V4(Ipv4Addr::LOCALHOST),
            scheme: Scheme::Https,
            authority: RequestAuthority::parse("app.example:8443").unwrap(),
        };
        for (upstream, from, to) in [
            ("localhost:3000", "http://localhost:3000/a?b#c", "https://app.example:8443/a?b#c"),
            ("localhost:3000", "https://LOCALHOST:3000", "https://app.example:8443"),
            ("localhost:3000", "http://localhost:3001/", "http://localhost:3001/"),
            ("localhost:3000", "http://localhost/", "http://localhost/"),
            ("localhost:3000", "http://other:3000/", "http://other:3000/"),
            ("localhost:3000", "http://u@localhost:3000/", "http://u@localhost:3000/"),
            ("localhost:3000", "/a", "/a"),
            ("localhost:3000", "//localhost:3000/a", "//localhost:3000/a"),
            ("localhost:3000", "ftp://localhost:3000/a", "ftp://localhost:3000/a"),
            ("box", "http://box/a", "https://app.example:8443/a"),
            ("box", "https://box:443/a", "https://app.example:8443/a"),
            ("box", "http://box:81/a", "http://box:81/a"),
        ] {
            let mut response = HeaderMap::new();
            response.insert(LOCATION, from.parse().unwrap());
            location(&mut response, &upstream.parse().unwrap(), &visitor);
            assert_eq!(response.get(LOCATION).unwrap(), to, "{upstream}: {from}");
        }
    }
}
