//! `WWW-Authenticate` (RFC 9110, section 11.6.1): how a registry wants to be told who is there.

use ureq::http::HeaderMap;
use ureq::http::header::WWW_AUTHENTICATE;

/// The most bytes of a header that are read.
const LONGEST: usize = 8192;

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// The name and the password with each request.
    Basic,
    /// A token of somebody else's.
    Bearer {
        /// Whose: a URL.
        realm: String,
        /// For whom.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

impl Challenge {
    /// The best of the challenges in `headers`, which is the bearer's; `None` if none is known here.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let all: Vec<Self> = texts.take(8).flat_map(challenges).collect();
        let bearer = all.iter().find(|challenge| matches!(challenge, Self::Bearer { .. }));
        bearer.or(all.first()).cloned()
    }
}

/// The challenges in one header, those of unknown schemes left out.
fn challenges(text: &str) -> Vec<Challenge> {
    let mut rest = text.get(..LONGEST).unwrap_or(text);
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    while let Some((word, after)) = token(rest.trim_start_matches([' ', '\t', ','])) {
        let after = after.trim_start_matches([' ', '\t']);
        // What has a value is a parameter, what has none is the next scheme.
        if let Some(after) = after.strip_prefix('=') {
            let Some((value, after)) = value(after.trim_start_matches([' ', '\t'])) else { break };
            if let Some((_, parameters)) = found.last_mut() {
                parameters.push((word.to_ascii_lowercase(), value));
            }
            rest = after;
        } else {
            found.push((word.to_ascii_lowercase(), Vec::new()));
            rest = after;
        }
    }
    found.into_iter().filter_map(|(scheme, parameters)| known(&scheme, &parameters)).collect()
}

/// Reads any text as `WWW-Authenticate`.
#[cfg(fuzzing)]
pub(crate) fn fuzz(text: &str) {
    for challenge in challenges(text) {
        let bytes = match challenge {
            Challenge::Basic => 0,
            Challenge::Bearer { realm, service, scope } => {
                realm.len() + service.map_or(0, |text| text.len()) + scope.map_or(0, |text| text.len())
            }
        };
        assert!(bytes <= text.len());
    }
}

fn known(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let parameter = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            let realm = parameter("realm")?;
            Some(Challenge::Bearer { realm, service: parameter("service"), scope: parameter("scope") })
        }
        _ => None,
    }
}

/// The word at the beginning.
fn token(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && !"!#$%&'*+-.^_`|~".contains(letter));
    let end = end.unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The word or quoted text at the beginning.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(word, rest)| (word.to_owned(), rest));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((position, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[position + 1..])),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.into(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn challenges_are_read() {
        for (text, expected) in [
            ("Basic realm=\"x\"", vec![Challenge::Basic]),
            ("BASIC", vec![Challenge::Basic]),
            (
                "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:a/b:pull,push\"",
                vec![bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:a/b:pull,push"),
                )],
            ),
            ("bearer Realm=x , service = \"a\\\"b\"", vec![bearer("x", Some("a\"b"), None)]),
            ("Negotiate, Basic realm=a, Bearer realm=b", vec![Challenge::Basic, bearer("b", None, None)]),
            ("Bearer service=\"a\"", vec![]),
            ("Bearer realm=\"unfinished", vec![]),
            ("Digest realm=\"a\", nonce=\"b\"", vec![]),
            ("", vec![]),
            ("=,=\"", vec![]),
        ] {
            assert_eq!(challenges(text), expected, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=a".parse().unwrap());
        headers.append(WWW_AUTHENTICATE, "Bearer realm=b".parse().unwrap());
        assert_eq!(Challenge::of(&headers), Some(bearer("b", None, None)));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(Bearer |Basic )?[ -~é]{0,60}") {
            prop_assert!(challenges(&text).len() <= 60);
        }
    }
}
