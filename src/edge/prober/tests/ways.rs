//! The ways to ask, each against a real origin: what passes, what fails, and what is our own fault.

use std::net::Ipv6Addr;
use std::path::Path;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Pid, test_kill_process};

use super::*;
use crate::config::{Question, Secret};
use crate::dns::message::flag;
use crate::dns::{Name, Type};
use crate::probe::{Call, nameserver};

fn expecting(ask: Ask, expect: &[&str]) -> Arc<Check> {
    let expect = expect.iter().map(|text| Expression::parse(text).unwrap()).collect();
    Arc::new(Check { expect, ..Arc::unwrap_or_clone(check(ask, LONG, None)) })
}

fn unexpected(expression: &str, seen: &str) -> Outcome {
    failed(Cause::Unexpected { expression: expression.into(), seen: seen.into() })
}

// ---- http

#[tokio::test]
async fn a_request_has_the_method_and_the_body_of_its_check() {
    let (asked, mut was_asked) = tokio::sync::mpsc::channel(1);
    let port = origin(move |mut stream| {
        let asked = asked.clone();
        async move {
            let head = read_request(&mut stream).await;
            let mut body = [0; 2];
            if head.contains("content-length: 2") {
                stream.read_exact(&mut body).await.unwrap();
            }
            asked.send((head, body)).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nX-Ready: 1\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    for (method, send, body) in [("POST", "{}", *b"{}"), ("HEAD", "", [0; 2]), ("PUT", "ok", *b"ok")] {
        let web = Web { method: method.into(), send: send.into(), ..Web::get("/ask") };
        let seen = probe(port, expecting(Ask::Http(web), &["header 'x-ready' == '1'"])).await;
        assert_eq!(seen.outcome, Outcome::Passed, "{method}");
        let (head, came) = was_asked.recv().await.unwrap();
        assert!(head.starts_with(&format!("{method} /ask HTTP/1.1\r\n")), "{head}");
        assert_eq!(came, body, "{method}");
    }
}

#[tokio::test]
async fn headers_and_json_of_a_response_are_judged() {
    let body = r#"{"status": {"db": "up"}, "queue": 120}"#;
    let port =
        web(format!("HTTP/1.1 200 OK\r\nX-Ready: 0\r\nContent-Length: {}\r\n\r\n{body}", body.len()), true).await;
    let plain = || Ask::Http(Web::get("/"));
    for (expect, outcome) in [
        ("json '/status/db' == 'up'", Outcome::Passed),
        ("json '/queue' < 100", unexpected("json '/queue' < 100", "120")),
        ("header 'x-ready' == '1'", unexpected("header 'x-ready' == '1'", "'0'")),
    ] {
        assert_eq!(probe(port, expecting(plain(), &[expect])).await.outcome, outcome);
    }
}

/// An origin that speaks these protocols over TLS, and HTTP/2 if it is one of them.
async fn secured(shown: &Shown, protocols: &[&[u8]]) -> u16 {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(shown.chain.clone(), PrivateKeyDer::try_from(shown.key.serialize_der()).unwrap())
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    origin(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let answer = service_fn(|request: hyper::Request<Incoming>| async move {
                let said = format!("{} {} {:?}", request.method(), request.uri(), request.version());
                let body = request.into_body().collect().await?.to_bytes();
                let said = [said.as_bytes(), b" ", &body].concat();
                Ok::<_, hyper::Error>(hyper::Response::new(Full::<Bytes>::from(said)))
            });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
        }
    })
    .await
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_asked_for_and_nothing_else_will_do() {
    let authority = Authority::new();
    let ca = authority.pem();
    let shown = authority.issue(&[HOST], |_| {});
    let asked = Web { http2: true, send: "hello".into(), method: "POST".into(), ..Web::get("/deep?x=1") };
    let told = "body ~ 'POST https://www.example.com/deep?x=1 HTTP/2.0 hello'";
    let of = |ask: Ask, expect: &[&str]| {
        Arc::new(Check { ca: Some(Arc::from(ca.as_str())), ..Arc::unwrap_or_clone(expecting(ask, expect)) })
    };
    let port = secured(&shown, &[b"h2", b"http/1.1"]).await;
    let seen = probe(port, of(Ask::Https(asked.clone()), &[told])).await;
    assert_eq!((seen.outcome, seen.status), (Outcome::Passed, Some(200)));
    assert!(seen.phases.first_byte.is_some() && seen.phases.body.is_some());
    // A server that picks nothing, and one that refuses.
    let port = secured(&shown, &[]).await;
    let seen = probe(port, of(Ask::Https(asked.clone()), &[])).await;
    assert_eq!(seen.outcome, failed(Cause::Protocol("it does not speak HTTP/2".into())));
    let port = secured(&shown, &[b"http/1.1"]).await;
    let seen = probe(port, of(Ask::Https(asked), &[])).await;
    assert!(matches!(seen.outcome, Outcome::Failed(Cause::Tls(_))), "{:?}", seen.outcome);
}

// ---- tls

#[tokio::test]
async fn a_handshake_is_enough_for_tls_whatever_is_spoken_after_it() {
    let authority = Authority::new();
    let ca = authority.pem();
    let of = |expect: &[&str]| {
        Arc::new(Check { ca: Some(Arc::from(ca.as_str())), ..Arc::unwrap_or_clone(expecting(Ask::Tls, expect)) })
    };
    let shown = authority.issue(&[HOST], |params| params.not_after = date_time_ymd(2090, 1, 1));
    let port = secured(&shown, &[b"dot"]).await;
    let seen = probe(port, of(&["cert_days > 14", "time < 20s"])).await;
    assert_eq!((seen.outcome, seen.status), (Outcome::Passed, None));
    assert!(seen.certificate.is_some() && seen.phases.tls.is_some() && seen.phases.first_byte.is_none());
    let seen = probe(port, of(&["cert_days > 65000"])).await;
    assert!(matches!(seen.outcome, Outcome::Failed(Cause::Unexpected { .. })), "{:?}", seen.outcome);
    assert_eq!(probe(port, expecting(Ask::Tls, &[])).await.outcome, failed(Cause::CertUnknownIssuer));
    let other = secured(&authority.issue(&["other.example.com"], |_| {}), &[]).await;
    assert_eq!(probe(other, of(&[])).await.outcome, failed(Cause::CertWrongName));
}

// ---- dns

fn question() -> Question {
    Question { name: Name::absolute("www.example.com").unwrap(), rtype: Type::A }
}

/// A reply to `query`, as it came, with these flags and one address.
fn replied(query: &[u8], flags: u16) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2..4].copy_from_slice(&(flag::QR | flags).to_be_bytes());
    reply[7] = 1;
    reply.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01");
    reply
}

/// A nameserver that sends, to each query, all of what `says`; its port, over UDP and TCP.
async fn nameserver(says: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> u16 {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    background(async move {
        let mut query = [0; 512];
        loop {
            tokio::select! {
                Ok((length, from)) = udp.recv_from(&mut query) => {
                    for reply in says(&query[..length]) {
                        udp.send_to(&reply, from).await.unwrap();
                    }
                }
                Ok((mut stream, _)) = tcp.accept() => {
                    let length = usize::from(stream.read_u16().await.unwrap());
                    stream.read_exact(&mut query[..length]).await.unwrap();
                    // Over TCP it is whole.
                    let reply = replied(&query[..length], flag::AA);
                    stream.write_u16(u16::try_from(reply.len()).unwrap()).await.unwrap();
                    stream.write_all(&reply).await.unwrap();
                }
            }
        }
    });
    port
}

#[tokio::test]
async fn a_nameserver_is_judged_by_its_reply() {
    let port = nameserver(|query| vec![replied(query, 0)]).await;
    for (expect, outcome) in [
        (&[][..], Outcome::Passed),
        (&["answer == '192.0.2.1'"], Outcome::Passed),
        (&["answer ~ '192.0.2.9'"], unexpected("answer ~ '192.0.2.9'", "'192.0.2.1'")),
        (&["aa == true"], unexpected("aa == true", "false")),
        (&["serial > 1"], unexpected("serial > 1", "no SOA record")),
    ] {
        let seen = probe(port, expecting(Ask::Dns(question()), expect)).await;
        assert_eq!(seen.outcome, outcome);
        assert!(seen.phases.answer.is_some() && seen.phases.connect.is_none());
    }
    let port = nameserver(|query| vec![replied(query, 2)]).await;
    let seen = probe(port, expecting(Ask::Dns(question()), &[])).await;
    assert_eq!(seen.outcome, unexpected("rcode == 'NOERROR'", "SERVFAIL"));
    let seen = probe(port, expecting(Ask::Dns(question()), &["answer ~ '1'"])).await;
    assert_eq!(seen.outcome, unexpected("rcode == 'NOERROR'", "SERVFAIL"), "it is expected all the same");
    let seen = probe(port, expecting(Ask::Dns(question()), &["rcode == 'SERVFAIL'"])).await;
    assert_eq!(seen.outcome, Outcome::Passed);
}

#[tokio::test]
async fn only_the_reply_to_the_query_counts_and_a_truncated_one_is_had_over_tcp() {
    let other = Question { name: Name::absolute("other.example.com").unwrap(), rtype: Type::A };
    let port = nameserver(move |query| {
        let mut wrong_id = replied(query, 2);
        wrong_id[0] ^= 1;
        let id = u16::from_be_bytes([query[0], query[1]]);
        let wrong_question = replied(&nameserver::query(id, &other), 2);
        vec![wrong_id, b"?".to_vec(), wrong_question, query.to_vec(), replied(query, 0)]
    })
    .await;
    assert_eq!(probe(port, expecting(Ask::Dns(question()), &[])).await.outcome, Outcome::Passed);
    let port = nameserver(|query| vec![replied(query, flag::TC)]).await;
    assert_eq!(probe(port, expecting(Ask::Dns(question()), &["aa == true"])).await.outcome, Outcome::Passed);
}

#[tokio::test]
async fn what_is_wrong_with_a_nameserver_is_told() {
    let port = nameserver(|_| Vec::new()).await;
    let silent = probe(port, check(Ask::Dns(question()), SHORT, None)).await;
    assert_eq!(silent.outcome, failed(Cause::Timeout(Phase::Answer)));
    let port = nameserver(|query| vec![replied(query, 0)[..query.len() + 5].to_vec()]).await;
    let broken = probe(port, expecting(Ask::Dns(question()), &[])).await;
    assert!(matches!(broken.outcome, Outcome::Failed(Cause::Protocol(_))), "{:?}", broken.outcome);
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
    let refused = probe(closed, expecting(Ask::Dns(question()), &[])).await;
    assert_eq!(refused.outcome, failed(Cause::ConnectRefused));
}

// ---- icmp

async fn pinged(target: Target, timeout: Duration) -> Observation {
    prober().probe(request(target, 0, check(Ask::Icmp, timeout, None))).await
}

#[tokio::test]
async fn loopback_answers_a_ping_where_the_kernel_lets_us() {
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let seen = pinged(Target::Address(address), LONG).await;
        if icmp::is_forbidden() {
            assert_eq!(seen.outcome, Outcome::Inconclusive(LocalFault::PingForbidden));
        } else {
            assert_eq!(seen.outcome, Outcome::Passed, "{address}");
            assert!(seen.phases.answer.is_some());
        }
    }
}

/// A network namespace of its own lets nobody ping, and has no way anywhere.
#[test]
fn a_host_that_forbids_pings_says_nothing_of_the_origin() {
    let mut command = Command::new("unshare");
    command.args(["--net", "--map-root-user"]).arg(std::env::current_exe().unwrap());
    alone_in(&mut command, module_path!(), "a_ping_that_is_forbidden");
}

#[tokio::test]
#[ignore = "wants a network namespace of its own: run by the test above"]
async fn a_ping_that_is_forbidden() {
    let seen = pinged(loopback(), LONG).await;
    assert_eq!(seen.outcome, Outcome::Inconclusive(LocalFault::PingForbidden));
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").unwrap();
    let seen = pinged(Target::Address([192, 0, 2, 1].into()), SHORT).await;
    assert_eq!(seen.outcome, Outcome::Inconclusive(LocalFault::NoRoute));
}

// ---- exec

fn shell(script: &str) -> Ask {
    Ask::Exec(["/bin/sh", "-c", script, "-", "{address}", "{host}", "{port}"].map(str::to_owned).to_vec())
}

async fn ran(ask: Ask, timeout: Duration, expect: &[&str]) -> Observation {
    let check = Check { timeout, ..Arc::unwrap_or_clone(expecting(ask, expect)) };
    prober().probe(request(loopback(), 7, Arc::new(check))).await
}

#[tokio::test]
async fn a_program_passes_or_fails_by_its_exit_code() {
    let seen = ran(shell("exit 0"), LONG, &[]).await;
    assert_eq!(seen.outcome, Outcome::Passed);
    assert!(seen.phases.answer.is_some());
    let seen = ran(shell("echo disk full; exit 2"), LONG, &[]).await;
    assert_eq!(seen.outcome, unexpected("exit == 0", "exit 2, 'disk full'"));
    let seen = ran(shell("echo '{\"queue\": 5}'; exit 2"), LONG, &["exit == 2", "json '/queue' < 6"]).await;
    assert_eq!(seen.outcome, Outcome::Passed);
    let seen = ran(shell("kill -9 $$"), LONG, &[]).await;
    assert_eq!(seen.outcome, unexpected("exit == 0", "an end by a signal"));
}

#[tokio::test]
async fn a_program_gets_its_arguments_a_few_variables_and_nothing_else() {
    let seen = ran(shell(r#"test "$1 $2 $3" = "127.0.0.1 www.example.com 7""#), LONG, &[]).await;
    assert_eq!(seen.outcome, Outcome::Passed);
    let told = "body ~~ '^(FAILOVERD_(ADDRESS=127.0.0.1|HOST=www.example.com|PORT=7|CHECK=site|TIMEOUT_MS=20000|RUN=[0-9a-f]{16}-1)\n){6}$'";
    let seen = ran(Ask::Exec(vec!["/usr/bin/env".into()]), LONG, &[told]).await;
    assert_eq!(seen.outcome, Outcome::Passed);
    let seen = ran(shell("read line && exit 1; test $(pwd) = /"), LONG, &[]).await;
    assert_eq!(seen.outcome, Outcome::Passed, "nothing is to be read");
    let seen = ran(
        Ask::Exec(vec!["/bin/echo".into(), "$HOME; exit 1 {other}".into()]),
        LONG,
        &["body ~ '$HOME; exit 1 {other}'"],
    );
    assert_eq!(seen.await.outcome, Outcome::Passed, "no shell reads it");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_our_own_fault() {
    for program in ["/nowhere/check", "/etc/passwd", "/"] {
        let seen = ran(Ask::Exec(vec![program.into()]), LONG, &[]).await;
        let Outcome::Inconclusive(LocalFault::Program(why)) = seen.outcome else { panic!("{:?}", seen.outcome) };
        assert!(why.starts_with(&format!("{program}: ")), "{why}");
    }
}

/// A folder for a program to write its process ids to.
fn noted(script: &str) -> (tempfile::TempDir, Ask) {
    let folder = tempfile::tempdir().unwrap();
    let script = script.replace("NOTE", &folder.path().join("pids").display().to_string());
    (folder, shell(&script))
}

fn pids(folder: &Path) -> Vec<Pid> {
    let text = std::fs::read_to_string(folder.join("pids")).unwrap_or_default();
    text.lines().map(|line| Pid::from_raw(line.trim().parse().unwrap()).unwrap()).collect()
}

/// Waits until none of these processes is there any more, not even as a zombie of ours. Those that lost their parent
/// are somebody else's to reap.
async fn gone(pids: &[Pid], ours: usize) {
    let began = clock::moment();
    let is_over = |pid: &Pid, ours: bool| {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        test_kill_process(*pid).is_err() || !ours && state.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z"))
    };
    while !pids.iter().enumerate().all(|(place, pid)| is_over(pid, place < ours)) {
        assert!(clock::moment().since(began) < LONG, "{pids:?} are still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn at_the_timeout_the_whole_group_is_killed_and_no_zombie_stays() {
    let (folder, ask) = noted("echo $$ > NOTE; sleep 1000 & echo $! >> NOTE; wait");
    let seen = ran(ask, SHORT, &[]).await;
    assert_eq!(seen.outcome, failed(Cause::Timeout(Phase::Answer)));
    let pids = pids(folder.path());
    assert_eq!(pids.len(), 2);
    gone(&pids, 1).await;
}

#[tokio::test]
async fn who_is_left_behind_by_a_program_is_killed_and_holds_nothing_up() {
    let (folder, ask) = noted("sleep 1000 & echo $! > NOTE; echo done; exit 0");
    let seen = ran(ask, LONG, &["body ~ 'done'"]).await;
    assert_eq!(seen.outcome, Outcome::Passed);
    gone(&pids(folder.path()), 0).await;
}

/// In a process of its own: it is handed whoever loses its parent.
#[test]
fn who_gets_out_of_the_group_of_a_program_does_not_get_away() {
    alone_in(&mut this_program(), module_path!(), "getting_out_of_the_group");
}

#[tokio::test]
#[ignore = "is handed the children of others: run by the test above"]
async fn getting_out_of_the_group() {
    exec::prepare();
    let prober = prober();
    let reaper = prober.clone();
    background(async move { reaper.reap().await });
    let run = async |ask: &Ask, timeout: Duration| {
        let check = Check { timeout, ..Arc::unwrap_or_clone(expecting(ask.clone(), &[])) };
        prober.probe(request(loopback(), 7, Arc::new(check))).await.outcome
    };
    // A daemon with a child; a daemon of a daemon, whose parent is gone; and one that is waited for.
    let (out, until) = ("setsid sh -c 'echo $$ >> NOTE; ", "until grep -q . NOTE; do sleep 0.01; done");
    for (script, limit, count) in [
        (format!("{out} sleep 1000 & echo $! >> NOTE; wait' & {until}; sleep 0.1; exit 0"), LONG, 2),
        (format!("setsid sh -c \"{out} exec sleep 1000' & exit 0\" & {until}; exit 0"), LONG, 1),
        (format!("{out} exec sleep 1000' & {until}; wait"), SHORT * 3, 1),
        (format!("{out} exec sleep 1000' & {until}; exec env -i sleep 1000"), SHORT * 3, 1),
    ] {
        let (folder, ask) = noted(&script);
        let seen = run(&ask, limit).await;
        assert_eq!(seen == Outcome::Passed, limit == LONG, "{script}: {seen:?}");
        let pids = pids(folder.path());
        assert_eq!(pids.len(), count, "{script}");
        gone(&pids, count).await;
    }
    // What nobody can be asked for lives on, and is no zombie in the end.
    let (folder, ask) =
        noted(&format!("env -i setsid /bin/sh -c 'echo $$ > NOTE; exec /bin/sleep 1000' & {until}; exit 0"));
    assert_eq!(run(&ask, LONG).await, Outcome::Passed);
    let escaped = pids(folder.path());
    assert_eq!(run(&shell("exit 0"), LONG).await, Outcome::Passed);
    assert!(test_kill_process(escaped[0]).is_ok());
    rustix::process::kill_process(escaped[0], rustix::process::Signal::KILL).unwrap();
    gone(&escaped, 1).await;
}

/// In a user namespace, where anybody may do anything.
#[test]
fn what_lets_us_bind_a_low_port_is_not_handed_on_to_programs() {
    let mut command = Command::new("unshare");
    command.arg("--map-root-user").arg(std::env::current_exe().unwrap());
    alone_in(&mut command, module_path!(), "an_ambient_privilege");
}

#[tokio::test]
#[ignore = "wants privileges of its own: run by the test above"]
async fn an_ambient_privilege() {
    use rustix::thread::{CapabilitySet, capabilities, configure_capability_in_ambient_set, set_capabilities};
    let privilege = CapabilitySet::NET_BIND_SERVICE;
    let mut ours = capabilities(None).unwrap();
    ours.inheritable |= privilege;
    set_capabilities(None, ours).unwrap();
    configure_capability_in_ambient_set(privilege, true).unwrap();
    let ask = || Ask::Exec(["/bin/grep", "CapAmb", "/proc/self/status"].map(str::to_owned).to_vec());
    let none = "body ~~ 'CapAmb:\\s0{16}\n'";
    assert!(matches!(ran(ask(), LONG, &[none]).await.outcome, Outcome::Failed(_)), "it would be handed on");
    exec::prepare();
    assert_eq!(ran(ask(), LONG, &[none]).await.outcome, Outcome::Passed);
    assert!(capabilities(None).unwrap().effective.contains(privilege), "ours stays with us");
}

#[tokio::test]
async fn when_nobody_waits_any_more_the_program_ends() {
    let (folder, ask) = noted("echo $$ > NOTE; sleep 1000 & echo $! >> NOTE; wait");
    let began = clock::moment();
    let mut running = Box::pin(ran(ask, LONG, &[]));
    while pids(folder.path()).len() < 2 {
        assert!(timeout(Duration::from_millis(5), running.as_mut()).await.is_err(), "it waits for its child");
        assert!(clock::moment().since(began) < LONG, "the program never began");
    }
    drop(running);
    gone(&pids(folder.path()), 1).await;
}

#[tokio::test]
async fn the_output_of_a_program_is_bounded_and_never_makes_it_wait() {
    let script = "head -c 1000000 /dev/zero | tr '\\0' x; echo late; exit 0";
    let seen = ran(shell(script), LONG, &["body ~ 'xxx'"]).await;
    assert_eq!(seen.outcome, Outcome::Passed);
    let seen = ran(shell(script), LONG, &["body !~ 'late'"]).await;
    assert_eq!(seen.outcome, Outcome::Passed, "only the first 64 KiB count");
}

#[tokio::test]
async fn so_many_programs_run_at_once_and_who_gets_no_turn_says_nothing() {
    let prober = prober();
    let all = prober.0.programs.acquire_many(u32::try_from(exec::AT_ONCE).unwrap()).await.unwrap();
    let check = check(shell("exit 0"), SHORT, None);
    let seen = prober.probe(request(loopback(), 7, Arc::clone(&check))).await;
    assert_eq!(seen.outcome, Outcome::Inconclusive(LocalFault::Busy));
    drop(all);
    assert_eq!(prober.probe(request(loopback(), 7, check)).await.outcome, Outcome::Passed);
}

/// The wait is ours, and the whole timeout is the program's.
#[tokio::test]
async fn a_program_that_waited_for_its_turn_has_all_of_its_time() {
    let prober = prober();
    let all = prober.0.programs.acquire_many(u32::try_from(exec::AT_ONCE).unwrap()).await.unwrap();
    let long = Duration::from_secs(4);
    let check = check(shell("sleep 2.5; exit 0"), long, None);
    let mut waiting = Box::pin(prober.probe(request(loopback(), 7, check)));
    assert!(timeout(long / 2, waiting.as_mut()).await.is_err(), "there is no turn");
    assert_eq!(prober.0.connections.available_permits(), descriptors::probes(), "it holds no connection up");
    drop(all);
    let freed = clock::moment();
    let seen = waiting.await;
    assert_eq!(seen.outcome, Outcome::Passed);
    assert!(seen.started >= freed);
}

// ---- heartbeat

#[tokio::test]
async fn an_origin_that_calls_us_is_looked_at_and_not_asked() {
    let prober = prober();
    let beat = check(Ask::Heartbeat(Secret("0123456789abcdef".into())), Duration::from_secs(2), None);
    let look = || prober.probe(request(Target::Origin("eu".into()), 0, Arc::clone(&beat)));
    assert_eq!(look().await.outcome, Outcome::Inconclusive(LocalFault::Deaf));
    prober.beats().hear();
    assert_eq!(look().await.outcome, failed(Cause::Silent(None)));
    let call = |failed, ago| {
        let at = clock::moment() - Duration::from_secs(ago);
        Call { origin: "eu".into(), check: "site".into(), at, failed }
    };
    for (failing, ago, outcome) in [
        (false, 60, failed(Cause::Silent(Some(60)))),
        (true, 40, failed(Cause::Silent(Some(40)))),
        (true, 3, failed(Cause::Reported)),
        (false, 1, Outcome::Passed),
    ] {
        assert!(prober.beats().note(&call(failing, ago)));
        assert_eq!(look().await.outcome, outcome);
    }
    assert!(!prober.beats().note(&call(false, 1)), "too soon after the last");
}

#[tokio::test]
async fn an_origin_that_calls_us_is_not_raced() {
    let prober = prober();
    prober.beats().hear();
    let beat = check(Ask::Heartbeat(Secret("0123456789abcdef".into())), Duration::from_secs(2), None);
    let raced = prober.race_out(request(Target::Origin("eu".into()), 0, beat)).await;
    assert_eq!(raced.runners.len(), 1, "a look that fails is confirmed by nothing");
    assert_eq!(raced.first().map(|seen| &seen.outcome), Some(&failed(Cause::Silent(None))));
    assert_eq!(raced.class, Class::Suspect);
}
