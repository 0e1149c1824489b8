//! Who asks: the user's name and password, or tokens that are got for them (distribution-spec's bearer tokens:
//! github.com/distribution/distribution, `docs/content/spec/auth`).

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use ureq::http::header::CONTENT_TYPE;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::challenge::Challenge;
use super::credentials::{CredentialStore, Credentials};
use super::error::RegistryError;
use super::host::{Host, Origin};
use super::refusal::{refusal, shown};
use super::web::{Answer, Ask, Content, Web};

/// The largest answer of a token server.
const LARGEST: u64 = 1 << 20;
/// How long tokens are good at least, as in Docker.
const SHORTEST: u64 = 60;
/// The longest that one is kept.
const LONGEST: u64 = 24 * 3600;
/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(10);
/// Who asks for tokens.
const CLIENT: &str = "stockade";

/// What is shown to one registry.
pub(super) struct Authority {
    host: Host,
    store: Option<CredentialStore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` as long as nobody has looked; looking may start a program and ask the user.
    credentials: Option<Option<Credentials>>,
    basic: Option<HeaderValue>,
    tokens: HashMap<String, Token>,
}

struct Token {
    header: HeaderValue,
    until: Instant,
}

/// The answer of a token server.
#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Authority {
    /// Shows what `store` has for `host`.
    pub(super) fn new(host: Host, store: Option<CredentialStore>) -> Self {
        Self { host, store, state: Mutex::default() }
    }

    /// Shows `credentials`.
    pub(super) fn with(host: Host, credentials: Credentials) -> Self {
        let state = State { credentials: Some(Some(credentials)), ..State::default() };
        Self { host, store: None, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The header that is known to be wanted for `scopes`.
    pub(super) fn secret(&self, scopes: &[String]) -> Option<HeaderValue> {
        self.state().known(scopes)
    }

    /// The header to try after `origin` said 401 with these headers to what showed `shown`. `None` if there is no better one.
    ///
    /// # Errors
    /// If credentials cannot be read, or the token server does not give one.
    pub(super) fn challenged(
        &self,
        web: &Web,
        origin: &Origin,
        headers: &HeaderMap,
        scopes: &[String],
        shown: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        // Held over the request for the token: those that wait want the same one.
        let mut state = self.state();
        if let Some(known) = state.known(scopes).filter(|known| Some(known) != shown) {
            return Ok(Some(known));
        }
        let Some(challenge) = Challenge::of(headers) else { return Ok(None) };
        let credentials = self.credentials(&mut state)?;
        if let Some(Credentials::RegistryToken(token)) = &credentials {
            let header = self.header(&format!("Bearer {token}"))?;
            return Ok(Some(header).filter(|header| Some(header) != shown));
        }
        match challenge {
            Challenge::Basic => {
                let basic = credentials.as_ref().and_then(Credentials::basic);
                state.basic = basic.map(|basic| self.header(&basic)).transpose()?;
                Ok(state.basic.clone().filter(|header| Some(header) != shown))
            }
            Challenge::Bearer { realm, service, scope } => {
                let mut all = scopes.to_vec();
                // One that covers something else than what we ask for is wanted by the registry for its own reasons.
                all.extend(scope.filter(|scope| !scopes.iter().any(|known| of_what(known) == of_what(scope))));
                let wanted = Wanted { realm, service, scopes: all };
                let token = self.token(web, origin, &wanted, credentials.as_ref())?;
                let header = token.header.clone();
                state.tokens.insert(scopes.join(" "), token);
                Ok(Some(header))
            }
        }
    }

    fn credentials(&self, state: &mut State) -> Result<Option<Credentials>, RegistryError> {
        if let Some(known) = &state.credentials {
            return Ok(known.clone());
        }
        let failed = |source| RegistryError::Credentials { registry: self.host.to_string(), source };
        let found = match &self.store {
            Some(store) => store.find(self.host.as_str()).map_err(failed)?,
            None => None,
        };
        state.credentials = Some(found.clone());
        Ok(found)
    }

    fn header(&self, text: &str) -> Result<HeaderValue, RegistryError> {
        let mut header =
            HeaderValue::from_str(text).map_err(|_ignored| self.protocol("has a token that is no header"))?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn protocol(&self, reason: impl Into<String>) -> RegistryError {
        RegistryError::Protocol { what: self.what(), registry: self.host.to_string(), reason: reason.into() }
    }

    fn what(&self) -> String {
        format!("log in at {}", self.host)
    }

    /// Gets a token.
    fn token(
        &self,
        web: &Web,
        origin: &Origin,
        wanted: &Wanted,
        credentials: Option<&Credentials>,
    ) -> Result<Token, RegistryError> {
        let place: Option<Uri> = wanted.realm.parse().ok();
        let target = place.as_ref().and_then(Origin::of);
        let failed = |source| RegistryError::Web { what: self.what(), source: Box::new(source) };
        let refused =
            || self.protocol(format!("has its token server at `{}`, where nobody must be sent", shown(&wanted.realm)));
        let (Some(place), Some(target)) = (place, target) else { return Err(refused()) };
        if !origin.may_send_to(&target, web.is_insecure(&target).map_err(failed)?) {
            return Err(refused());
        }
        let answer = match credentials {
            Some(Credentials::IdentityToken(identity)) => {
                let form = wanted.form(identity);
                let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
                let headers: &[(HeaderName, HeaderValue)] = &[(CONTENT_TYPE, kind)];
                let content = Content::Bytes(form.as_bytes());
                web.send(Ask { method: Method::POST, uri: place, headers, secret: None, content })
            }
            other => {
                let basic = other.and_then(Credentials::basic);
                let secret = basic.map(|basic| self.header(&basic)).transpose()?;
                let uri = wanted.query(&place, other).ok_or_else(refused)?;
                web.send(Ask { method: Method::GET, uri, headers: &[], secret, content: Content::None })
            }
        };
        self.granted(answer.map_err(failed)?)
    }

    fn granted(&self, answer: Answer) -> Result<Token, RegistryError> {
        if answer.status != 200 {
            return Err(refusal(&self.what(), self.host.as_str(), answer));
        }
        let mut bytes = Vec::new();
        let read = answer.body.take(LARGEST).read_to_end(&mut bytes);
        read.map_err(|source| RegistryError::Cut { what: self.what(), registry: self.host.to_string(), source })?;
        // serde's own words may have a part of the token in them.
        let granted: Option<Granted> = serde_json::from_slice(&bytes).ok();
        let lifetime = granted.as_ref().and_then(|granted| granted.expires_in);
        let token =
            granted.and_then(|granted| granted.token.or(granted.access_token)).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| self.protocol("has a token server that gives no token"))?;
        let lifetime = Duration::from_secs(lifetime.unwrap_or(SHORTEST).clamp(SHORTEST, LONGEST));
        Ok(Token { header: self.header(&format!("Bearer {token}"))?, until: Instant::now() + lifetime - MARGIN })
    }
}

impl State {
    fn known(&self, scopes: &[String]) -> Option<HeaderValue> {
        let token = self.tokens.get(&scopes.join(" ")).filter(|token| Instant::now() < token.until);
        token.map(|token| token.header.clone()).or_else(|| self.basic.clone())
    }
}

/// `repository:NAME` of `repository:NAME:ACTIONS`.
fn of_what(scope: &str) -> &str {
    scope.rsplit_once(':').map_or(scope, |(what, _)| what)
}

/// What a token is wanted for.
struct Wanted {
    realm: String,
    service: Option<String>,
    scopes: Vec<String>,
}

impl Wanted {
    /// The address that a token is got at.
    fn query(&self, place: &Uri, credentials: Option<&Credentials>) -> Option<Uri> {
        let mut parameters: Vec<(&str, &str)> = Vec::new();
        parameters.extend(self.service.iter().map(|service| ("service", service.as_str())));
        parameters.extend(self.scopes.iter().map(|scope| ("scope", scope.as_str())));
        if let Some(Credentials::Password { user, .. }) = credentials {
            parameters.extend([("account", user.as_str()), ("client_id", CLIENT)]);
        }
        let query = encoded(&parameters);
        let place = place.to_string();
        let joint = if place.contains('?') { '&' } else { '?' };
        format!("{place}{joint}{query}").parse().ok()
    }

    /// What is sent to get a token for an identity token (OAuth 2).
    fn form(&self, identity: &str) -> String {
        let scopes = self.scopes.join(" ");
        let service = self.service.as_deref().unwrap_or_default();
        encoded(&[
            ("grant_type", "refresh_token"),
            ("service", service),
            ("scope", &scopes),
            ("client_id", CLIENT),
            ("refresh_token", identity),
        ])
    }
}

/// Parameters of a URL or form.
pub(super) fn encoded(parameters: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        text.bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    parameters.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect::<Vec<_>>().join("&")
}
