//! Requests over HTTP: connections kept by origin, redirections followed with care, everything in bounds.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};
use ureq::{Agent, AsSendBody, BodyReader, SendBody};

use super::certificates::{CertificateError, Certificates, Check, Own};
use super::host::{Origin, join};
use super::patience::Patience;
use super::proxies::{Proxies, ProxyError};
use super::resolve::{ResolveError, Shared};
use super::tls::Tls;

/// The most redirections that are followed, as in Docker.
const MOST_REDIRECTIONS: usize = 10;
/// The most bytes of all headers of an answer.
const LARGEST_HEADERS: usize = 64 << 10;

/// So many times as long as for others is waited for the answer to what was sent.
const SLOWER: u32 = 5;
/// The most bytes that are read of an answer that nobody looks at.
const SHORT: u64 = 16 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Certificates that cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A proxy that cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The connection was not made, or broke.
    #[error("ask {origin}")]
    Broken {
        /// Whom.
        origin: String,
        /// What happened.
        source: Box<ureq::Error>,
    },
    /// From one to the next for ever.
    #[error("{0} redirects more than {MOST_REDIRECTIONS} times")]
    Redirections(String),
    /// To where nobody may be sent.
    #[error("{from} redirects to `{}`, where it must not send anybody", to.escape_debug())]
    Sent {
        /// Who.
        from: String,
        /// Where to, at most a few hundred bytes of it.
        to: String,
    },
    /// Not a URL of HTTP.
    #[error("`{}` is no address of a registry", .0.escape_debug())]
    Address(String),
}

impl WebError {
    /// Whether it may be otherwise next time.
    pub(super) fn is_passing(&self) -> bool {
        let Self::Broken { source, .. } = self else { return false };
        match source.as_ref() {
            // rustls wraps what it finds wrong with a certificate like this.
            ureq::Error::Io(error) => error.kind() != std::io::ErrorKind::InvalidData,
            ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => true,
            ureq::Error::Other(other) => {
                other.downcast_ref::<ResolveError>().is_some_and(|error| matches!(error, ResolveError::Silent { .. }))
            }
            _ => false,
        }
    }

    /// Whether nobody is there, as far as this machine knows.
    pub(super) fn is_nobody(&self) -> bool {
        let Self::Broken { source, .. } = self else { return false };
        match source.as_ref() {
            ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
            ureq::Error::Other(_) => true,
            _ => false,
        }
    }
}

/// What is sent along.
pub(super) enum Content<'a> {
    /// Nothing: for GET, HEAD and DELETE.
    None,
    /// These bytes.
    Bytes(&'a [u8]),
    /// So many bytes of this reader.
    Stream(&'a mut dyn Read, u64),
}

/// A request.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: &'a [(HeaderName, HeaderValue)],
    /// The `Authorization` header: for the origin of `uri` and nobody else.
    pub(super) secret: Option<HeaderValue>,
    pub(super) content: Content<'a>,
}

/// An answer, whose body is not read yet.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: BodyReader<'static>,
    /// Where it came from, after redirections.
    pub(super) uri: Uri,
}

impl Answer {
    /// A header that is there once and is text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Reads a short body to its end, so that the connection is kept for the next request; how that ends does not matter.
    pub(super) fn used_up(self) {
        match std::io::copy(&mut self.body.take(SHORT), &mut std::io::sink()) {
            Ok(_) | Err(_) => {}
        }
    }

    /// The announced length of the body.
    pub(super) fn length(&self) -> Option<u64> {
        self.header(&CONTENT_LENGTH).and_then(|length| length.parse().ok())
    }
}

/// How hosts are reached.
pub(super) struct Web {
    certificates: Certificates,
    proxies: Proxies,
    /// `HOST[:PORT]` that may be asked without TLS, besides this machine.
    insecure: Vec<String>,
    patience: Patience,
    names: Shared,
    agents: Mutex<HashMap<Origin, Agent>>,
}

impl Web {
    pub(super) fn new(certificates: Certificates, proxies: Proxies, insecure: Vec<String>, patience: Patience) -> Self {
        Self { certificates, proxies, insecure, patience, names: Shared::default(), agents: Mutex::default() }
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// Whether the host may be spoken with without TLS or with anybody's certificate: it was named so, or it is this machine and
    /// has no authority of its own.
    ///
    /// # Errors
    /// If its certificates cannot be read.
    pub(super) fn is_insecure(&self, origin: &Origin) -> Result<bool, WebError> {
        let named = names(origin).iter().any(|name| self.insecure.iter().any(|known| known.eq_ignore_ascii_case(name)));
        Ok(named || (origin.is_loopback() && !self.certificates.own(&names(origin))?.has_authority()))
    }

    /// Sends a request and follows where its answer leads if it has no content.
    ///
    /// # Errors
    /// See [`WebError`]. An answer with a status that says no is none.
    pub(super) fn send(&self, ask: Ask<'_>) -> Result<Answer, WebError> {
        let address = |uri: &Uri| WebError::Address(uri.to_string().chars().take(256).collect());
        let first = Origin::of(&ask.uri).ok_or_else(|| address(&ask.uri))?;
        let follow = matches!(ask.method, Method::GET | Method::HEAD);
        let (mut uri, mut origin, mut content) = (ask.uri, first.clone(), ask.content);
        for _ in 0..=MOST_REDIRECTIONS {
            // What is secret between a registry and its user is not for those whom it sends to.
            let secret = ask.secret.as_ref().filter(|_| origin == first);
            let answer = self.send_once(&ask.method, uri.clone(), &origin, ask.headers, secret, content)?;
            let redirected = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = answer.headers.get(LOCATION).filter(|_| follow && redirected) else {
                return Ok(answer);
            };
            let sent = || WebError::Sent {
                from: origin.to_string(),
                to: String::from_utf8_lossy(location.as_bytes()).chars().take(256).collect(),
            };
            let next = location.to_str().ok().and_then(|location| join(&answer.uri, location)).ok_or_else(sent)?;
            let target = Origin::of(&next).ok_or_else(sent)?;
            if !origin.may_send_to(&target, self.is_insecure(&target)?) {
                return Err(sent());
            }
            (uri, origin, content) = (next, target, Content::None);
        }
        Err(WebError::Redirections(first.to_string()))
    }

    fn send_once(
        &self,
        method: &Method,
        uri: Uri,
        origin: &Origin,
        headers: &[(HeaderName, HeaderValue)],
        secret: Option<&HeaderValue>,
        content: Content<'_>,
    ) -> Result<Answer, WebError> {
        let agent = self.agent(origin)?;
        let mut request = Request::new(());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        for (name, value) in headers {
            request.headers_mut().append(name, value.clone());
        }
        if let Some(secret) = secret {
            let mut secret = secret.clone();
            secret.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, secret);
        }
        let answered = match content {
            Content::None => agent.run(request),
            Content::Bytes(bytes) => agent.run(self.slowly_answered(&agent, request.map(|()| bytes))),
            Content::Stream(reader, length) => {
                request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
                agent.run(self.slowly_answered(&agent, request.map(|()| SendBody::from_reader(reader))))
            }
        };
        let broken = |error| WebError::Broken { origin: origin.to_string(), source: Box::new(error) };
        let (parts, body) = answered.map_err(broken)?.into_parts();
        let body = body.into_with_config().limit(u64::MAX).reader();
        Ok(Answer { status: parts.status, headers: parts.headers, body, uri })
    }

    /// A request that sends something. Registries look at all of it, and may copy it elsewhere, before they answer.
    fn slowly_answered<S: AsSendBody>(&self, agent: &Agent, request: Request<S>) -> Request<S> {
        let idle = self.patience.idle.saturating_mul(SLOWER);
        agent.configure_request(request).timeout_per_read(Some(idle)).build()
    }

    /// Whoever keeps the connections to `origin`.
    fn agent(&self, origin: &Origin) -> Result<Agent, WebError> {
        if let Some(agent) = self.agents.lock().unwrap_or_else(PoisonError::into_inner).get(origin) {
            return Ok(agent.clone());
        }
        let proxy = self.proxies.of(origin)?;
        let builder = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(LARGEST_HEADERS)
            .proxy(proxy.clone())
            .user_agent(concat!("stockade/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(self.patience.connect))
            .timeout_per_read(Some(self.patience.idle))
            .timeout_per_write(Some(self.patience.idle))
            .max_idle_connections_per_host(16);
        let own = if origin.tls { self.certificates.own(&names(origin))? } else { Own::default() };
        let check = if origin.tls && self.is_insecure(origin)? { Check::Nobody } else { Check::Authorities };
        let connector = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default());
        let agent = if origin.tls || proxy.is_some() {
            let others = || self.certificates.config(&Own::default(), Check::Authorities);
            let config = self.certificates.config(&own, check)?;
            let others = if proxy.is_some() { others()? } else { config.clone() };
            let tls = Tls { origin: origin.clone(), own: config, others };
            Agent::with_parts(builder.build(), connector.chain(tls), self.names.clone())
        } else {
            Agent::with_parts(builder.build(), connector, self.names.clone())
        };
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(agents.entry(origin.clone()).or_insert(agent).clone())
    }
}

/// What a user calls the host: with the port, and without it where it is the usual one; Docker's by its name in references too.
fn names(origin: &Origin) -> Vec<String> {
    let host = if origin.host.contains(':') { format!("[{}]", origin.host) } else { origin.host.clone() };
    let mut names = vec![format!("{host}:{}", origin.port)];
    if matches!(origin.port, 80 | 443) {
        if origin.host == "registry-1.docker.io" {
            names.push("docker.io".to_owned());
        }
        names.push(host);
    }
    names
}
