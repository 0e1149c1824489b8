//! One place that a repository is at: a registry, or a mirror of it.

use std::sync::Arc;

use ureq::http::{HeaderName, HeaderValue, Method, Uri};

use super::authorize::Authority;
use super::error::RegistryError;
use super::host::{Host, Origin};
use super::refusal::refusal;
use super::settings::Shared;
use super::web::{Answer, Ask, Content, WebError};

/// How often somebody is asked who is not there: a registry that is only just started is asked again, one that is mistyped is not
/// waited for.
const ATTEMPTS_AT_NOBODY: u32 = 2;

/// A place.
pub(super) struct Endpoint {
    shared: Arc<Shared>,
    host: Host,
    /// Whether TLS is spoken, where the user says so by a URL.
    tls: Option<bool>,
    authority: Authority,
}

/// A request that can be made again.
pub(super) struct Sketch<'a> {
    pub(super) method: Method,
    /// A path on the registry (`/v2/...`), or a whole URL that it gave.
    pub(super) place: Place<'a>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) content: Option<&'a [u8]>,
    pub(super) scopes: &'a [String],
}

/// Where a request goes.
pub(super) enum Place<'a> {
    Path(String),
    Whole(&'a Uri),
}

impl Endpoint {
    pub(super) fn new(shared: Arc<Shared>, host: Host, tls: Option<bool>, authority: Authority) -> Self {
        Self { shared, host, tls, authority }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Its name for people.
    pub(super) fn name(&self) -> &str {
        self.host.as_str()
    }

    /// Asks once, showing who asks if that is wanted. Every status is an answer.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn ask_once(&self, what: &str, sketch: &Sketch<'_>) -> Result<Answer, RegistryError> {
        let failed = |source| RegistryError::Web { what: what.to_owned(), source: Box::new(source) };
        let own = self.origin(what)?;
        let uri = self.uri(&own, &sketch.place).map_err(failed)?;
        let at_home = Origin::of(&uri).as_ref() == Some(&own);
        let ask = |secret: Option<HeaderValue>| Ask {
            method: sketch.method.clone(),
            uri: uri.clone(),
            headers: &sketch.headers,
            secret,
            content: sketch.content.map_or(Content::None, Content::Bytes),
        };
        let shown = self.authority.secret(sketch.scopes).filter(|_| at_home);
        let web = self.shared.web();
        let answer = web.send(ask(shown.clone())).map_err(failed)?;
        // Others must not have us show anything.
        if answer.status != 401 || Origin::of(&answer.uri).as_ref() != Some(&own) {
            return Ok(answer);
        }
        match self.authority.challenged(web, &own, &answer.headers, sketch.scopes, shown.as_ref())? {
            Some(better) => {
                answer.used_up();
                web.send(ask(Some(better))).map_err(failed)
            }
            None => Ok(answer),
        }
    }

    /// Sends a stream, once. Whoever asks has asked something before, so that it is known what to show.
    ///
    /// # Errors
    /// If there is no answer.
    pub(super) fn send_stream(&self, what: &str, ask: Ask<'_>, scopes: &[String]) -> Result<Answer, RegistryError> {
        let own = self.origin(what)?;
        let at_home = Origin::of(&ask.uri).as_ref() == Some(&own);
        let secret = self.authority.secret(scopes).filter(|_| at_home);
        let answer = self.shared.web().send(Ask { secret, ..ask });
        answer.map_err(|source| RegistryError::Web { what: what.to_owned(), source: Box::new(source) })
    }

    /// Asks until `take` makes something of the answer, or what is wrong does not pass.
    ///
    /// # Errors
    /// The last one.
    pub(super) fn ask<T>(
        &self,
        what: &str,
        sketch: &Sketch<'_>,
        mut take: impl FnMut(Answer) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut failures = 0;
        loop {
            let asked = self.ask_once(what, sketch).and_then(|answer| match answer.status.as_u16() {
                408 | 429 | 500 | 502 | 503 | 504 => Err(refusal(what, self.name(), answer)),
                _ => take(answer),
            });
            match asked {
                Err(error) => {
                    failures += 1;
                    self.wait_after(error, failures)?;
                }
                taken => return taken,
            }
        }
    }

    /// Waits until it is time to try again after `failures`.
    ///
    /// # Errors
    /// `error`, if it does not pass, or did not for too long.
    pub(super) fn wait_after(&self, error: RegistryError, failures: u32) -> Result<(), RegistryError> {
        let patience = self.shared.web().patience();
        let nobody = matches!(&error, RegistryError::Web { source, .. } if source.is_nobody());
        let attempts = if nobody { patience.attempts.min(ATTEMPTS_AT_NOBODY) } else { patience.attempts };
        if !error.is_passing() || failures >= attempts {
            return Err(error);
        }
        match &error {
            RegistryError::Limited { wait: Some(wait), .. } if *wait <= patience.longest => std::thread::sleep(*wait),
            RegistryError::Limited { wait: Some(_), .. } => return Err(error),
            // Without a word how long: mostly it is a matter of hours.
            RegistryError::Limited { wait: None, .. } if failures > 1 => return Err(error),
            _ => patience.pause(failures),
        }
        Ok(())
    }

    fn uri(&self, own: &Origin, place: &Place<'_>) -> Result<Uri, WebError> {
        match place {
            Place::Whole(uri) => Ok((*uri).clone()),
            Place::Path(path) => {
                let scheme = if own.tls { "https" } else { "http" };
                let text = format!("{scheme}://{}{path}", self.host.api());
                text.parse().map_err(|_ignored| WebError::Address(text))
            }
        }
    }

    /// Where it is. A registry that may be spoken with without TLS is asked first whether it speaks it.
    ///
    /// # Errors
    /// If it does not answer.
    pub(super) fn origin(&self, what: &str) -> Result<Origin, RegistryError> {
        let failed = |source| RegistryError::Web { what: what.to_owned(), source: Box::new(source) };
        let of = |tls: bool| {
            let uri = format!("{}://{}/v2/", if tls { "https" } else { "http" }, self.host.api());
            let parsed: Option<Uri> = uri.parse().ok();
            let origin = parsed.as_ref().and_then(Origin::of);
            parsed.zip(origin).ok_or_else(|| failed(WebError::Address(uri)))
        };
        if let Some(tls) = self.tls.or_else(|| self.shared.speaks_tls(&self.host)) {
            return of(tls).map(|(_, origin)| origin);
        }
        let web = self.shared.web();
        let (with, origin) = of(true)?;
        let (_, plain) = of(false)?;
        if !web.is_insecure(&origin).and_then(|tls| Ok(tls || web.is_insecure(&plain)?)).map_err(failed)? {
            return Ok(origin);
        }
        let asked =
            web.send(Ask { method: Method::GET, uri: with, headers: &[], secret: None, content: Content::None });
        let tls = match asked {
            Ok(_) => true,
            // Whether it answers without is told by the request itself, which would be one more otherwise.
            Err(WebError::Broken { .. }) => false,
            Err(error) => return Err(failed(error)),
        };
        self.shared.remember_tls(&self.host, tls);
        Ok(if tls { origin } else { plain })
    }
}
