//! Who may ask: the Host header against DNS rebinding, the bearer token, and the time a request may take.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use ring::digest;

use crate::edge::admin::refusal::Refusal;

/// The largest body of a request: orders are a few hundred bytes.
pub const BODY_MAX: usize = 64 * 1024;
/// From the end of a request's head to the head of its reply. Reloading a million records takes seconds.
const REQUEST_TIME: Duration = Duration::from_secs(60);

/// Who gave an order: the name of the token used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor(pub String);

/// Knows the tokens, as digests only.
pub struct Gate {
    tokens: Vec<(Actor, digest::Digest)>,
    /// Listening on loopback: a web page that rebinds its own name to 127.0.0.1 must not get in.
    loopback: bool,
}

impl Gate {
    /// `tokens` are pairs of actor and secret; an empty secret never lets anyone in.
    #[must_use]
    pub fn new(tokens: &[(String, String)], loopback: bool) -> Self {
        let kept = tokens.iter().filter(|(_, secret)| !secret.trim().is_empty());
        Self { tokens: kept.map(|(actor, secret)| (Actor(actor.clone()), sha256(secret.trim()))).collect(), loopback }
    }

    /// Whose request this is.
    ///
    /// # Errors
    /// 403 for a Host header that is a name on a loopback listener; 401 without a token that fits.
    pub fn admit(&self, headers: &HeaderMap) -> Result<Actor, Refusal> {
        if self.loopback && !headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(is_local) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "the Host header is not an address or localhost")
                .help("this API listens on loopback; ask it as http://127.0.0.1:PORT"));
        }
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
        let refused = |error| {
            Refusal::new(StatusCode::UNAUTHORIZED, error).help(
                "send `Authorization: Bearer TOKEN`; the token made at first start is in operator.token in the \
                 state folder, others are [admin.token.NAME] in failoverd.toml",
            )
        };
        let given = sha256(given.ok_or_else(|| refused("no bearer token was sent"))?);
        let mut found = None;
        for (actor, digest) in &self.tokens {
            if same(digest.as_ref(), given.as_ref()) {
                found = Some(actor.clone());
            }
        }
        found.ok_or_else(|| refused("this token is not known here"))
    }
}

/// `routes` behind `gate`, with bounded bodies and time. Handlers find the [`Actor`] in the request's extensions.
pub fn guarded(routes: Router, gate: Arc<Gate>) -> Router {
    routes.layer(DefaultBodyLimit::max(BODY_MAX)).layer(middleware::from_fn_with_state(gate, guard))
}

async fn guard(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    match gate.admit(request.headers()) {
        Ok(actor) => request.extensions_mut().insert(actor),
        Err(refusal) => return refusal.into_response(),
    };
    match tokio::time::timeout(REQUEST_TIME, next.run(request)).await {
        Ok(reply) => reply,
        Err(_) => Refusal::new(StatusCode::GATEWAY_TIMEOUT, "no answer within 60 s")
            .help("what was asked may still happen; `failoverd events` will tell")
            .into_response(),
    }
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter (RFC 9110 §11.1).
pub(in crate::edge) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}

/// An address or `localhost`, with or without a port: nothing that someone else's DNS can point at us.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            return rest.split(']').next().is_some_and(|inner| inner.parse::<IpAddr>().is_ok());
        }
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

pub(in crate::edge) fn sha256(secret: &str) -> digest::Digest {
    digest::digest(&digest::SHA256, secret.as_bytes())
}

/// Equal, in a time that does not tell how much is.
pub(in crate::edge) fn same(ours: &[u8], theirs: &[u8]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::body::Bytes;
    use axum::http::HeaderValue;
    use axum::routing::post;
    use tokio::net::TcpListener;

    use super::*;
    use crate::edge::http;

    fn gate(loopback: bool) -> Gate {
        let tokens = [("operator", "s3cret"), ("alice", "wonder\n"), ("nobody", "")];
        Gate::new(&tokens.map(|(actor, secret)| (actor.to_owned(), secret.to_owned())), loopback)
    }

    fn headers(host: &'static str, authorization: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_name_of_the_token_is_the_actor() {
        for (authorization, actor) in
            [("Bearer s3cret", "operator"), ("bearer s3cret", "operator"), ("Bearer  wonder ", "alice")]
        {
            let admitted = gate(true).admit(&headers("127.0.0.1:8053", Some(authorization)));
            assert_eq!(admitted, Ok(Actor(actor.to_owned())), "{authorization}");
        }
    }

    #[test]
    fn without_a_token_that_fits_nobody_gets_in() {
        for authorization in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer s3cre"),
            Some("Bearer s3cret2"),
            Some("Basic s3cret"),
        ] {
            let refused = gate(true).admit(&headers("localhost", authorization)).unwrap_err();
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{authorization:?}");
            assert!(refused.help.is_some());
        }
    }

    #[test]
    fn a_name_rebound_to_loopback_is_refused_whatever_its_token() {
        for host in
            ["evil.example", "evil.example:8053", "localhost.evil.example", "", "[evil]:80", "127.0.0.1.evil.example"]
        {
            let refused = gate(true).admit(&headers(host, Some("Bearer s3cret"))).unwrap_err();
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{host}");
            assert!(gate(false).admit(&headers(host, Some("Bearer s3cret"))).is_ok(), "{host}");
        }
        for host in ["127.0.0.1", "127.0.0.1:8053", "[::1]:8053", "[::1]", "localhost:8053", "LOCALHOST"] {
            assert!(gate(true).admit(&headers(host, Some("Bearer s3cret"))).is_ok(), "{host}");
        }
    }

    /// A toy route behind the gate on a real socket: what the middleware adds and refuses.
    #[tokio::test]
    async fn the_gate_stands_before_every_route() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let routes = Router::new().route(
            "/who",
            post(
                |Extension(Actor(name)): Extension<Actor>, body: Bytes| async move { format!("{name} {}", body.len()) },
            ),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asking = async {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let ask = |path: &str, body: usize| client.post(format!("{base}{path}")).body(vec![b'x'; body]);

            let reply = ask("/who", 3).bearer_auth("wonder").send().await.unwrap();
            assert_eq!((reply.status().as_u16(), reply.text().await.unwrap()), (200, "alice 3".to_owned()));

            for path in ["/who", "/nowhere"] {
                let reply = ask(path, 0).send().await.unwrap();
                assert_eq!(reply.status().as_u16(), 401);
                assert_eq!(reply.headers()[header::WWW_AUTHENTICATE], "Bearer");
                let told: crate::edge::admin::view::Failure = reply.json().await.unwrap();
                assert_eq!(told.error, "no bearer token was sent");
            }

            let reply = ask("/who", 0).bearer_auth("wonder").header("host", "evil.example").send().await.unwrap();
            assert_eq!(reply.status().as_u16(), 403);

            let reply = ask("/who", BODY_MAX + 1).bearer_auth("wonder").send().await.unwrap();
            assert_eq!(reply.status().as_u16(), 413);
        };
        tokio::select! {
            () = http::serve(listener, guarded(routes, Arc::new(gate(true)))) => unreachable!("serves until dropped"),
            () = asking => {}
        }
    }
}
