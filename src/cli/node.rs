//! The way to a daemon: its HTTP API, with errors that name the address and what to check.

use std::error::Error;
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::cli::discover::Door;
use crate::cli::exit::{Exit, Failure};
use crate::edge::admin::view;

/// To an open connection.
const CONNECT_TIME: Duration = Duration::from_secs(3);
/// Between two pieces of a reply; longer than the API itself takes for a request.
const READ_TIME: Duration = Duration::from_secs(65);

/// One node of those asked.
#[derive(Clone, Debug)]
pub(super) struct Node {
    base: Url,
    http: Client,
    door: Door,
}

/// Every node behind the door, in its order.
///
/// # Errors
/// If an address is no URL.
pub(super) fn nodes(door: &Door) -> Result<Vec<Node>, Failure> {
    let bases = door.bases.iter().map(|text| base(text)).collect::<Result<Vec<_>, _>>()?;
    let http = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIME)
        .read_timeout(READ_TIME)
        .user_agent(concat!("failoverd/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| {
            Failure::new(Exit::Trouble, format!("cannot prepare an HTTP client: {}", innermost(&error)))
        })?;
    Ok(bases.into_iter().map(|base| Node { base, http: http.clone(), door: door.clone() }).collect())
}

fn base(text: &str) -> Result<Url, Failure> {
    let base = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    base.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("`{text}` is no address of a daemon"))
            .help("write it as http://127.0.0.1:8053")
    })
}

impl Node {
    /// The address as people write it.
    pub(super) fn address(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// Reads a view; `path` are the segments below `/v1`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Failure> {
        let reply = self.send(self.http.get(self.url(path))).await?;
        self.body(reply).await
    }

    /// Gives an order.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, Failure> {
        let reply = self.send(self.http.post(self.url(path)).json(body)).await?;
        self.body(reply).await
    }

    /// The journal, as lines to be read with [`Lines::next`].
    pub(super) async fn events(&self, asked: &view::EventsAsked) -> Result<Lines, Failure> {
        let mut url = self.url(&["events"]);
        {
            let mut query = url.query_pairs_mut();
            for (key, value) in [("after", asked.after), ("limit", asked.limit.map(|limit| limit as u64))] {
                value.iter().for_each(|value| {
                    query.append_pair(key, &value.to_string());
                });
            }
            query.append_pair("follow", if asked.follow { "true" } else { "false" });
        }
        let reply = self.send(self.http.get(url).header(ACCEPT, "application/x-ndjson")).await?;
        Ok(Lines { node: self.clone(), reply, held: Vec::new() })
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        url
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let reply = request.bearer_auth(&self.door.token.0).send().await.map_err(|error| self.unreachable(&error))?;
        if reply.status().is_success() {
            return Ok(reply);
        }
        let status = reply.status();
        let told = reply.json::<view::Failure>().await.ok();
        Err(self.refused(status, told))
    }

    async fn body<T: DeserializeOwned>(&self, reply: Response) -> Result<T, Failure> {
        let bytes = reply.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.strange(&error))
    }

    fn strange(&self, error: &serde_json::Error) -> Failure {
        Failure::new(Exit::Unreachable, format!("{} answers, but not as failoverd does: {error}", self.address())).help(
            "is it another program, or another version? this is failoverd ".to_owned() + env!("CARGO_PKG_VERSION"),
        )
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let failure = Failure::new(
            Exit::Unreachable,
            format!("cannot reach failoverd at {}: {}", self.address(), innermost(error)),
        );
        failure
            .help("is it running? `systemctl status failoverd`, or start it with `failoverd run`")
            .help(format!("the address comes from {}; another one: --admin URL", self.door.source))
    }

    fn refused(&self, status: StatusCode, told: Option<view::Failure>) -> Failure {
        let Some(told) = told else {
            return Failure::new(
                Exit::Unreachable,
                format!("{} answers {status}, but not as failoverd does", self.address()),
            )
            .help(format!("the address comes from {}; is it another program?", self.door.source));
        };
        if status == StatusCode::UNAUTHORIZED {
            return Failure::new(Exit::Denied, format!("{} does not accept this token", self.address()))
                .help(format!("the token comes from {}", self.door.token_source))
                .help(
                    "is that the state folder of this node? nodes share a token by the same [admin.token.NAME] secret",
                );
        }
        let exit = if status.is_server_error() { Exit::Unreachable } else { Exit::Denied };
        Failure { exit, error: told.error, help: told.help.into_iter().collect() }
    }
}

/// Lines of a reply that may go on.
pub(super) struct Lines {
    node: Node,
    reply: Response,
    held: Vec<u8>,
}

/// A line of the journal is at most a turn with its evidence.
const LINE_MAX: usize = 4 * 1024 * 1024;

impl Lines {
    /// The next event; `None` once the daemon ends the reply.
    pub(super) async fn next(&mut self) -> Result<Option<view::Event>, Failure> {
        loop {
            while let Some(end) = self.held.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                if !line.trim_ascii().is_empty() {
                    return serde_json::from_slice(&line).map(Some).map_err(|error| self.node.strange(&error));
                }
            }
            if self.held.len() > LINE_MAX {
                return Err(Failure::new(Exit::Unreachable, format!("{} sends an endless line", self.node.address())));
            }
            match self.reply.chunk().await {
                Ok(Some(bytes)) => self.held.extend_from_slice(&bytes),
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.node.unreachable(&error)),
            }
        }
    }
}

/// Asks every node at once; results in the order of the nodes.
pub(super) async fn each<T, A>(nodes: &[Node], ask: impl Fn(Node) -> A) -> Vec<Result<T, Failure>>
where
    T: Send + 'static,
    A: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let mut asked = JoinSet::new();
    for (index, node) in nodes.iter().enumerate() {
        let asking = ask(node.clone());
        asked.spawn(async move { (index, asking.await) });
    }
    let mut results: Vec<_> = asked.join_all().await;
    results.sort_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The cause at the bottom, which is the one a person can act on.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text = cause.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    match words.strip_prefix("Connection ") {
        Some(rest) => format!("connection {rest}"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Path;
    use axum::http::HeaderMap;
    use axum::routing::{get, post};
    use axum::{Json, Router};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Secret;
    use crate::edge::http;

    const STARTED: &str = r#"{"sequence":1,"at":"2026-11-21T10:32:07Z","node":"ns1","event":"stopped"}"#;

    fn door(bases: &[String]) -> Door {
        Door {
            bases: bases.to_vec(),
            token: Secret("t0ken".into()),
            source: "--admin".into(),
            token_source: "a file".into(),
        }
    }

    /// A stand-in that answers as the daemon does, and in other ways.
    fn routes() -> Router {
        let failure = |error: &str| Json(view::Failure { error: error.to_owned(), help: Some("do so".to_owned()) });
        Router::new()
            .route(
                "/v1/echo/{name}",
                get(|Path(name): Path<String>, headers: HeaderMap| async move {
                    Json(vec![name, headers["authorization"].to_str().unwrap_or_default().to_owned()])
                }),
            )
            .route("/v1/unknown", get(move || async move { (StatusCode::NOT_FOUND, failure("no such name")) }))
            .route("/v1/closed", get(move || async move { (StatusCode::UNAUTHORIZED, failure("who?")) }))
            .route("/v1/late", get(move || async move { (StatusCode::GATEWAY_TIMEOUT, failure("late")) }))
            .route("/v1/garbage", get(|| async { "<html>" }))
            .route("/v1/order", post(|Json(body): Json<view::Release>| async move { Json(body) }))
            .route("/v1/events", get(|| async { format!("\n{STARTED}\n\n{STARTED}\n") }))
    }

    async fn with_daemon<F: Future<Output = ()>>(asking: impl FnOnce(Node) -> F) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let node = nodes(&door(&[base])).unwrap().remove(0);
        tokio::select! {
            () = http::serve(listener, routes()) => unreachable!("serves until dropped"),
            () = asking(node) => {}
        }
    }

    #[tokio::test]
    async fn views_come_back_and_names_are_escaped() {
        with_daemon(|node| async move {
            let told: Vec<String> = node.get(&["echo", "a/b c?.example"]).await.unwrap();
            assert_eq!(told, ["a/b c?.example", "Bearer t0ken"]);
            let body = view::Release { target: "eu".into() };
            assert_eq!(node.post::<view::Release>(&["order"], &body).await.unwrap(), body);
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_refused_ends_with_the_code_of_its_kind() {
        with_daemon(|node| async move {
            for (path, exit, error) in [
                ("unknown", Exit::Denied, "no such name"),
                ("closed", Exit::Denied, "does not accept this token"),
                ("late", Exit::Unreachable, "late"),
                ("garbage", Exit::Unreachable, "not as failoverd does"),
                ("nowhere", Exit::Unreachable, "not as failoverd does"),
            ] {
                let failure = node.get::<Vec<String>>(&[path]).await.unwrap_err();
                assert_eq!(failure.exit, exit, "{path}");
                assert!(failure.error.contains(error), "{path}: {}", failure.error);
                assert!(!failure.help.is_empty(), "{path}");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn events_are_read_line_by_line_past_the_heartbeats() {
        with_daemon(|node| async move {
            let mut lines = node.events(&view::EventsAsked::default()).await.unwrap();
            assert_eq!(lines.next().await.unwrap().unwrap().sequence, 1);
            assert!(lines.next().await.unwrap().is_some());
            assert!(lines.next().await.unwrap().is_none());
        })
        .await;
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_named_with_what_to_check() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let all = nodes(&door(&[base.clone(), base.clone()])).unwrap();
        let results = each(&all, |node| async move { node.get::<Vec<String>>(&["status"]).await }).await;
        for failure in results.into_iter().map(Result::unwrap_err) {
            assert_eq!(failure.exit, Exit::Unreachable);
            assert!(failure.error.starts_with(&format!("cannot reach failoverd at {base}: ")), "{}", failure.error);
            assert!(failure.error.contains("refused"), "{}", failure.error);
            assert_eq!(failure.help.len(), 2);
        }
    }

    #[test]
    fn an_address_that_is_none_is_a_wrong_command_line() {
        for text in ["http://", "ftp://ns1", "http://:8053"] {
            assert_eq!(nodes(&door(&[text.to_owned()])).unwrap_err().exit, Exit::Usage, "{text}");
        }
    }
}
