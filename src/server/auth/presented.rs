//! What a request presents to say who it is.
//!
//! `Authorization: Basic`, `Bearer`, and what senders of the InfluxDB line protocol use: `Token`, and the parameters `u`
//! and `p` of the address. A request with several different ones, or with one that cannot be read, is refused: guessing
//! which was meant would let one hide behind the other.

use std::fmt;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// A claim to be somebody, not checked yet.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Presented {
    /// Nothing.
    Nothing,
    /// A user and a password.
    Password {
        /// The name of the user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token(String),
    /// Something that cannot be read.
    Unreadable,
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Password { .. } => "Password(..)",
            Self::Token(_) => "Token(..)",
            Self::Unreadable => "Unreadable",
        })
    }
}

impl Presented {
    /// What the head of a request presents. `takes_parameters` says whether `u` and `p` count, as on the paths of the line
    /// protocol: elsewhere a password in an address is a mistake that should not work.
    pub(super) fn of(parts: &Parts, takes_parameters: bool) -> Self {
        let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
        let header = match (headers.next(), headers.next()) {
            (None, _) => Self::Nothing,
            (Some(header), None) => header.to_str().map_or(Self::Unreadable, of_header),
            (Some(_), Some(_)) => Self::Unreadable,
        };
        let address = if takes_parameters { of_query(parts.uri.query().unwrap_or_default()) } else { Self::Nothing };
        match (header, address) {
            (header, Self::Nothing) => header,
            (Self::Nothing, address) => address,
            (header, address) if header == address => header,
            _ => Self::Unreadable,
        }
    }
}

fn of_header(text: &str) -> Presented {
    let Some((scheme, value)) = text.trim().split_once(' ') else { return Presented::Unreadable };
    let value = value.trim();
    if value.is_empty() {
        return Presented::Unreadable;
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return Presented::Token(value.to_owned());
    }
    if scheme.eq_ignore_ascii_case("token") {
        // InfluxDB 1.8 and later take a user and a password in this form.
        return value.split_once(':').map_or_else(
            || Presented::Token(value.to_owned()),
            |(user, password)| Presented::Password { user: user.to_owned(), password: password.to_owned() },
        );
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = BASE64_STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) {
            return Presented::Password { user: user.to_owned(), password: password.to_owned() };
        }
    }
    Presented::Unreadable
}

fn of_query(query: &str) -> Presented {
    let mut parameters = [None, None];
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let Some(index) = ["u", "p"].iter().position(|known| *known == name) else { continue };
        match (percent_decoded(value), &parameters[index]) {
            (Some(value), None) => parameters[index] = Some(value),
            _ => return Presented::Unreadable,
        }
    }
    match parameters {
        [None, None] => Presented::Nothing,
        [Some(user), Some(password)] => Presented::Password { user, password },
        _ => Presented::Unreadable,
    }
}

/// A value of an address; `None` when it is not well-formed or no UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let [high, low, after @ ..] = rest else { return None };
                let [high, low] = [*high, *low].map(|digit| char::from(digit).to_digit(16));
                rest = after;
                u8::try_from(high? * 16 + low?).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn presented(uri: &str, headers: &[&str], takes_parameters: bool) -> Presented {
        let request =
            headers.iter().fold(Request::builder().uri(uri), |request, value| request.header(AUTHORIZATION, *value));
        Presented::of(&request.body(()).unwrap().into_parts().0, takes_parameters)
    }

    fn password(user: &str, password: &str) -> Presented {
        Presented::Password { user: user.into(), password: password.into() }
    }

    #[test]
    fn each_form_is_read_and_what_cannot_be_read_is_nobody() {
        // "ann:a:b" and "ann".
        for (header, expected) in [
            ("Basic YW5uOmE6Yg==", password("ann", "a:b")),
            ("basic  YW5uOmE6Yg==", password("ann", "a:b")),
            ("Basic YW5u", Presented::Unreadable),
            ("Basic !", Presented::Unreadable),
            ("Basic", Presented::Unreadable),
            ("Bearer abc", Presented::Token("abc".into())),
            ("Bearer ", Presented::Unreadable),
            ("Token abc", Presented::Token("abc".into())),
            ("Token ann:pass", password("ann", "pass")),
            ("Digest abc", Presented::Unreadable),
            ("", Presented::Unreadable),
        ] {
            assert_eq!(presented("/", &[header], false), expected, "{header}");
        }
        assert_eq!(presented("/", &[], false), Presented::Nothing);
        assert_eq!(presented("/", &["Bearer a", "Bearer a"], false), Presented::Unreadable);
    }

    #[test]
    fn parameters_of_the_address_count_only_where_they_belong() {
        let uri = "/write?db=x&u=ann&p=a%20b%2B";
        assert_eq!(presented(uri, &[], true), password("ann", "a b+"));
        assert_eq!(presented(uri, &[], false), Presented::Nothing);
        assert_eq!(presented("/write?u=ann", &[], true), Presented::Unreadable);
        assert_eq!(presented("/write?u=ann&p=%zz", &[], true), Presented::Unreadable);
        assert_eq!(presented("/write?u=ann&u=bob&p=x", &[], true), Presented::Unreadable);
        assert_eq!(presented("/write?u=ann&p=x", &["Token ann:x"], true), password("ann", "x"));
        assert_eq!(presented("/write?u=ann&p=x", &["Token bob:x"], true), Presented::Unreadable);
    }

    #[test]
    fn nothing_secret_shows_in_debug_output() {
        let text = format!("{:?} {:?}", password("ann", "secret"), Presented::Token("secret".into()));
        assert!(!text.contains("secret"), "{text}");
    }
}
