//! Alerts: one signed webhook per turn, told from the committed journal.
//!
//! Each alert has a task and a persisted cursor of its own, so a slow target holds up nobody else. A message is sent
//! until its target has accepted it, in the order of the journal; the cursor follows. A crash between the acceptance
//! and the cursor sends a message twice under the same id, which is what the id is for. The form is that of Standard
//! Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,base64(HMAC-SHA256(id.timestamp.body))`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Client, StatusCode, redirect};
use ring::hmac;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};
use tokio::time::sleep;

use crate::config::{Alert, Config};
use crate::control::journal::{Entry, What};
use crate::edge::clock;
use crate::edge::headline::headline;
use crate::edge::storage::Storage;

/// One attempt, from the connection to the end of the reply.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Wait after the first failure; doubled with each.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);
/// After so long without acceptance a message is given up, so that the news behind it is told.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);
/// Entries read from the journal at a time.
const PAGE: usize = 64;
/// Wait after the journal could not be read.
const UNREAD: Duration = Duration::from_secs(1);

/// Alerts that do not get through, in words; read by readiness.
#[derive(Clone, Debug, Default)]
pub struct Undelivered(Arc<Mutex<BTreeMap<String, String>>>);

impl Undelivered {
    /// One line per alert.
    pub fn lines(&self) -> Vec<String> {
        self.lock().iter().map(|(alert, why)| format!("alert {alert} does not get through: {why}")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells every alert of the configuration in force, whatever it becomes. `key` signs those without a secret.
pub async fn run(mut config: watch::Receiver<Arc<Config>>, storage: Storage, key: Vec<u8>, undelivered: Undelivered) {
    let client = match client() {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no alert can be sent"),
    };
    let mut told = JoinSet::new();
    let mut running: Vec<(Alert, AbortHandle)> = Vec::new();
    let mut present = None;
    loop {
        let wanted = config.borrow_and_update().alerts.clone();
        running.retain(|(alert, task)| {
            let stays = wanted.contains(alert);
            if !stays {
                task.abort();
                undelivered.lock().remove(&alert.name);
            }
            stays
        });
        storage.alerts(wanted.iter().map(|alert| alert.name.as_str()));
        for alert in wanted {
            if running.iter().all(|(known, _)| *known != alert) {
                let key = alert.secret.as_deref().unwrap_or(&key);
                let teller = Teller {
                    key: hmac::Key::new(hmac::HMAC_SHA256, key),
                    alert: alert.clone(),
                    client: client.clone(),
                    storage: storage.clone(),
                    undelivered: undelivered.clone(),
                    present,
                };
                running.push((alert, told.spawn(teller.run())));
            }
        }
        while told.try_join_next().is_some() {}
        if config.changed().await.is_err() {
            return;
        }
        present = Some(*storage.committed().borrow());
    }
}

/// One alert.
struct Teller {
    alert: Alert,
    key: hmac::Key,
    client: Client,
    storage: Storage,
    undelivered: Undelivered,
    /// Where it begins if it is new, as history is not news: the last entry when it was added, or `None` for what
    /// this run found at its start.
    present: Option<u64>,
}

impl Teller {
    async fn run(self) {
        let mut committed = self.storage.committed();
        while !self.storage.is_open() {
            if committed.changed().await.is_err() {
                return;
            }
        }
        let known = self.storage.cursor(&self.alert.name);
        let mut cursor = known.unwrap_or_else(|| self.present.unwrap_or_else(|| self.storage.found()));
        if known.is_none() {
            self.storage.set_cursor(&self.alert.name, cursor);
        }
        loop {
            if committed.wait_for(|&last| last > cursor).await.is_err() {
                return;
            }
            let storage = self.storage.clone();
            let page = spawn_blocking(move || storage.entries(cursor, PAGE)).await;
            let Ok(Ok(page)) = page else {
                sleep(UNREAD).await;
                continue;
            };
            let Some(last) = page.last().map(|entry| entry.sequence) else {
                sleep(UNREAD).await;
                continue;
            };
            for message in page.iter().filter_map(Message::of) {
                self.deliver(&message).await;
                cursor = message.sequence;
                self.storage.set_cursor(&self.alert.name, cursor);
            }
            if cursor != last {
                cursor = last;
                self.storage.set_cursor(&self.alert.name, cursor);
            }
        }
    }

    /// Sends until accepted, or given up.
    async fn deliver(&self, message: &Message) {
        let began = clock::moment();
        let mut wait = RETRY_FIRST;
        while let Err(why) = self.attempt(message).await {
            let failing = self.undelivered.lock().insert(self.alert.name.clone(), why.clone()).is_some();
            if !failing {
                tracing::warn!(alert = %self.alert.name, id = %message.id, %why, "alert not delivered; it is tried again");
            }
            if clock::moment().since(began) > GIVE_UP {
                tracing::error!(alert = %self.alert.name, id = %message.id, %why, "alert given up after 24 h");
                return;
            }
            sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
        if self.undelivered.lock().remove(&self.alert.name).is_some() {
            tracing::info!(alert = %self.alert.name, id = %message.id, "alert delivered at last");
        }
    }

    async fn attempt(&self, message: &Message) -> Result<(), String> {
        let timestamp = clock::now().wall.seconds();
        let sent = self
            .client
            .post(&self.alert.webhook)
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature(&self.key, &message.id, timestamp, &message.body))
            .body(message.body.clone())
            .send()
            .await;
        match sent {
            Ok(reply) if reply.status().is_success() => Ok(()),
            Ok(reply) => Err(refusal(reply.status())),
            Err(error) => Err(innermost(&error.without_url())),
        }
    }
}

/// One webhook.
#[derive(Debug)]
struct Message {
    sequence: u64,
    id: String,
    body: String,
}

impl Message {
    /// `None` for what wakes nobody.
    fn of(entry: &Entry) -> Option<Self> {
        let kind = match &entry.what {
            What::Turned(_) => "turn",
            What::DoubtBegan { .. } => "doubt.began",
            What::DoubtEnded { .. } => "doubt.ended",
            What::LimitReached { .. } => "velocity.reached",
            What::LimitCleared { .. } => "velocity.cleared",
            What::SnapshotRefused(_) => "snapshot.refused",
            What::Rehearsed(_) => "readiness",
            What::ReloadRefused { .. } => "reload.refused",
            _ => return None,
        };
        let mut data = match serde_json::to_value(&entry.what) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        data.remove("event");
        data.insert("node".to_owned(), json!(entry.node));
        data.insert("sequence".to_owned(), json!(entry.sequence));
        data.insert("text".to_owned(), json!(headline(&entry.what)));
        let body = json!({ "type": kind, "timestamp": entry.at.to_string(), "data": data });
        let node: String = entry.node.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        Some(Self {
            sequence: entry.sequence,
            // With the time: a journal that had to begin anew must not repeat an id.
            id: format!("msg_{node}_{}_{}", entry.sequence, entry.at.millis()),
            body: body.to_string(),
        })
    }
}

fn signature(key: &hmac::Key, id: &str, timestamp: i64, body: &str) -> String {
    let signed = hmac::sign(key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(signed))
}

fn refusal(status: StatusCode) -> String {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => format!("{status}: does the target know our secret?"),
        StatusCode::NOT_FOUND | StatusCode::GONE => format!("{status}: is the address right?"),
        status if status.is_redirection() => format!("{status}: redirects are not followed"),
        status => status.to_string(),
    }
}

/// The cause, without the layers around it.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn client() -> Result<Client, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .timeout(ATTEMPT)
        .user_agent(concat!("failoverd/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| innermost(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Refused;
    use crate::time::Wall;

    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        // The example of the specification's reference libraries.
        let secret = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_message_says_everything_in_one_body() {
        let entry = Entry {
            sequence: 7,
            at: Wall::from_millis(1_795_257_127_512),
            node: "ns1.example".into(),
            what: What::SnapshotRefused(Refused::EmptyName { name: "www.example.com".to_owned() }),
        };
        let message = Message::of(&entry).expect("news");
        let body: Value = serde_json::from_str(&message.body).expect("JSON");
        assert_eq!(message.id, "msg_ns1-example_7_1795257127512");
        assert_eq!(
            (&body["type"], &body["timestamp"]),
            (&json!("snapshot.refused"), &json!("2026-11-21T10:32:07.512Z"))
        );
        assert_eq!((&body["data"]["sequence"], &body["data"]["name"]), (&json!(7), &json!("www.example.com")));
        assert!(body["data"]["text"].as_str().expect("text").contains("www.example.com would have no data"));
        assert!(Message::of(&Entry { what: What::Stopped, ..entry }).is_none());
    }
}
