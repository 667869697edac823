//! Everything in a tree of zones, resolved through us: by clients that ask us themselves (dig, kdig, delv), and by the
//! resolvers people use (Unbound, BIND, Knot Resolver), with all the strictness they have. Each validates from the root.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::daemon::get;
use crate::support::{Draw, dns, rounds, tool, wait};
use crate::tree::{BACKUP, PRIMARY, STEERED, TTL, Tree, all, guest, run, v4, v6, with_tree, written_out};

/// Where BIND counts aloud.
const STATISTICS: u16 = 8053;

/// What a validator says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Security {
    Secure,
    Insecure,
    Either,
    Bogus,
}

/// A question and what is right.
#[derive(Clone, Debug)]
struct Question {
    name: String,
    rtype: String,
    rcode: String,
    security: Security,
    /// `owner type rdata`, as [`plain`] has them.
    records: BTreeSet<String>,
}

/// A reply as dig and kdig print it.
#[derive(Default, Debug)]
struct Reply {
    name: String,
    rcode: String,
    flags: Vec<String>,
    records: BTreeSet<String>,
}

/// All questions of the tree, and drawn ones: names nobody has asked before, in mixed case.
fn questions() -> Vec<Question> {
    let mut questions: Vec<Question> = Vec::new();
    for line in written_out(include_str!("tree/questions")).lines().filter(|line| !line.starts_with(';')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (line.starts_with(' '), &words[..]) {
            (_, []) => {}
            (true, [owner, rtype, rdata @ ..]) => {
                let question = questions.last_mut().expect("a question before its records");
                question.records.insert(plain(owner, rtype, rdata));
            }
            (false, &[name, rtype, rcode, security]) => {
                let security = match security {
                    "secure" => Security::Secure,
                    "insecure" => Security::Insecure,
                    "either" => Security::Either,
                    "bogus" => Security::Bogus,
                    other => panic!("{line}: {other}?"),
                };
                let (name, rtype, rcode) = (name.to_owned(), rtype.to_owned(), rcode.to_owned());
                questions.push(Question { name, rtype, rcode, security, records: BTreeSet::new() });
            }
            _ => panic!("{line}?"),
        }
    }
    assert!(questions.len() > 100, "the table is read");
    questions.extend(drawn());
    questions
}

/// Names below wildcards, and names that are not there.
fn drawn() -> Vec<Question> {
    let mut draw = Draw::new();
    let mut questions = Vec::new();
    for _ in 0..rounds(10, 200) {
        for (zone, address, security) in [
            ("example.test", "192.0.2.5", Security::Insecure),
            ("signed.test", "192.0.2.115", Security::Secure),
            ("hashed.test", "192.0.2.135", Security::Secure),
        ] {
            let mut name = |below: &str| {
                let label = format!("n{:x}", draw.below(u64::MAX));
                let name = format!("{label}.{below}{zone}");
                let cased = name.chars().map(|one| if draw.below(2) == 0 { one } else { one.to_ascii_uppercase() });
                cased.collect::<String>()
            };
            let (wild, gone) = (name("wild."), name(""));
            let records = BTreeSet::from([plain(&wild, "A", &[address])]);
            let question = |name, rcode: &str, records| Question {
                name,
                rtype: "A".to_owned(),
                rcode: rcode.to_owned(),
                security,
                records,
            };
            questions.push(question(wild, "NOERROR", records));
            questions.push(question(gone, "NXDOMAIN", BTreeSet::new()));
        }
    }
    questions
}

/// A record that compares: small letters, a final dot, and nothing in the RDATA that programs print differently.
fn plain(owner: &str, rtype: &str, rdata: &[&str]) -> String {
    let rdata: String = rdata.concat().chars().filter(|one| !matches!(one, '"' | '\\')).collect();
    format!("{}. {rtype} {rdata}", owner.trim_end_matches('.')).to_ascii_lowercase()
}

/// The replies in what dig or kdig printed, in their order.
fn replies(text: &str) -> Vec<Reply> {
    let mut replies: Vec<Reply> = Vec::new();
    let mut section = "";
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.starts_with(";; ->>HEADER<<-") {
            let status = words.iter().skip_while(|word| **word != "status:").nth(1).expect("a status");
            replies.push(Reply { rcode: status.trim_end_matches([',', ';']).to_owned(), ..Reply::default() });
            section = "";
            continue;
        }
        let Some(reply) = replies.last_mut() else {
            continue;
        };
        if line.to_ascii_lowercase().starts_with(";; flags:") {
            let flags = line[";; flags:".len()..].split(';').next().expect("the first part");
            reply.flags = flags.split_whitespace().map(str::to_owned).collect();
        } else if line.starts_with(";; ") && line.contains(" SECTION:") {
            section = words[1];
        } else if section == "QUESTION" && line.starts_with(';') {
            words[0].trim_start_matches(';').clone_into(&mut reply.name);
            // kdig has a space behind the semicolon.
            if reply.name.is_empty() {
                words[1].clone_into(&mut reply.name);
            }
        } else if section == "ANSWER" && !line.starts_with(';') && words.len() > 4 && words[3] != "RRSIG" {
            reply.records.insert(plain(words[0], words[3], &words[4..]));
        } else if line.is_empty() {
            section = "";
        }
    }
    replies
}

impl Question {
    /// What is wrong with the records of a reply.
    fn differs(&self, found: &BTreeSet<String>) -> Option<String> {
        let is_any = |wanted: &str| wanted.ends_with(" *");
        let fits = |wanted: &str, one: &str| {
            wanted == one || (is_any(wanted) && one.starts_with(wanted.trim_end_matches('*')))
        };
        let missing: Vec<_> = self.records.iter().filter(|wanted| !found.iter().any(|one| fits(wanted, one))).collect();
        let more: Vec<_> = found.iter().filter(|one| !self.records.iter().any(|wanted| fits(wanted, one))).collect();
        (!missing.is_empty() || !more.is_empty()).then(|| format!("missing {missing:?}, too many {more:?}"))
    }

    /// What is wrong with a validating resolver's reply.
    fn wrong(&self, reply: &Reply) -> Option<String> {
        let is_refused = self.security == Security::Bogus || self.rcode == "SERVFAIL";
        let rcode = if is_refused { "SERVFAIL" } else { self.rcode.as_str() };
        let is_authentic = reply.flags.iter().any(|flag| flag == "ad");
        let is_as_secure = match self.security {
            Security::Secure => is_authentic,
            Security::Insecure | Security::Bogus => !is_authentic,
            Security::Either => true,
        };
        if reply.rcode != rcode {
            return Some(format!("{} instead of {rcode}", reply.rcode));
        }
        if !is_as_secure {
            return Some(format!("{:?}, but flags {:?}", self.security, reply.flags));
        }
        if is_refused { None } else { self.differs(&reply.records) }
    }
}

/// Asks all of it with one dig.
fn dig(tree: &Tree, server: IpAddr, questions: &[Question], options: &str) -> Vec<Reply> {
    let lines = questions.iter().map(|one| format!("@{server} {} {} {options}\n", one.name, one.rtype));
    let batch = tree.write(&format!("batch-{server}"), &lines.collect::<String>());
    let text = run(Command::new(tool("dig", "bind9-dnsutils")).args(["-f", &batch]));
    let replies = replies(&text);
    assert_eq!(replies.len(), questions.len(), "one reply for each question:\n{text}");
    for (question, reply) in questions.iter().zip(&replies) {
        let asked = question.name.trim_end_matches('.');
        assert!(reply.name.trim_end_matches('.').eq_ignore_ascii_case(asked), "{question:?} and {reply:?}");
    }
    replies
}

/// All that is wrong, with the question; nothing may be.
fn judge(what: &str, questions: &[Question], replies: &[Reply], wrong: impl Fn(&Question, &Reply) -> Option<String>) {
    let pairs = questions.iter().zip(replies);
    let found = pairs.filter_map(|(one, reply)| Some(format!("{} {}: {}", one.name, one.rtype, wrong(one, reply)?)));
    let found: Vec<String> = found.collect();
    assert!(found.is_empty(), "{what}: {} of {} wrong:\n{}", found.len(), questions.len(), found.join("\n"));
}

/// A resolver as a child. Dropping it kills it.
struct Resolver {
    name: &'static str,
    child: Child,
    log: String,
}

impl Resolver {
    /// Starts `command` in a folder of its own with its configuration, and waits until it resolves.
    fn start(tree: &Tree, name: &'static str, mut command: Command) -> Self {
        let log = tree.path(&format!("{name}.log"));
        let into = fs::File::create(&log).expect("a file");
        command.stdin(Stdio::null()).stdout(into.try_clone().expect("a handle")).stderr(into);
        let mut resolver = Self { name, child: command.spawn().expect("a resolver"), log };
        wait(name, Duration::from_secs(20), || {
            let ended = resolver.child.try_wait().expect("a child");
            assert!(ended.is_none(), "{name} ended:\n{}", resolver.log());
            resolver.addresses().filter(|addresses| !addresses.is_empty())
        });
        resolver
    }

    fn unbound(tree: &Tree, more: &str) -> Self {
        let folder = tree.path("");
        let (v4, v6) = (guest(), v6(40));
        let anchor = tree.write("anchor", &tree.anchor);
        let hints = tree.path("hints");
        let text = format!(
            "server:\n interface: {v4}\n outgoing-interface: {v4}\n outgoing-interface: {v6}\n access-control: 10.0.0.0/8 \
             allow\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n directory: \"{folder}\"\n pidfile: \"\"\n use-syslog: \
             no\n verbosity: 2\n num-threads: 1\n root-hints: \"{hints}\"\n trust-anchor-file: \"{anchor}\"\n module-config: \
             \"validator iterator\"\n local-zone: \"test.\" nodefault\n qname-minimisation: yes\n \
             qname-minimisation-strict: yes\n use-caps-for-id: yes\n harden-referral-path: yes\n harden-below-nxdomain: \
             yes\n harden-algo-downgrade: yes\n harden-large-queries: yes\n aggressive-nsec: yes\n val-log-level: \
             2\n{more}remote-control:\n control-enable: no\n"
        );
        let mut command = Command::new(tool("unbound", "unbound"));
        command.arg("-c").arg(tree.write("unbound.conf", &text));
        Self::start(tree, "unbound", command)
    }

    fn bind(tree: &Tree) -> Self {
        let folder = tree.path("");
        let (v4, v6) = (guest(), v6(40));
        let anchor: Vec<&str> = tree.anchor_ds.split_whitespace().collect();
        let text = format!(
            "options {{ directory \"{folder}\"; listen-on {{ {v4}; }}; listen-on-v6 {{ none; }}; recursion yes;\n \
             allow-recursion {{ any; }}; query-source address {v4}; query-source-v6 address {v6}; pid-file none;\n \
             session-keyfile none; managed-keys-directory \"{folder}\"; empty-zones-enable no; dnssec-validation yes;\n \
             qname-minimization strict; send-cookie yes; minimal-responses no; }};\ncontrols {{ }};\n\
             statistics-channels {{ inet 127.0.0.1 port {STATISTICS}; }};\nzone \".\" {{ type \
             hint; file \"hints\"; }};\ntrust-anchors {{ . static-ds {} {} {} \"{}\"; }};\n",
            anchor[0], anchor[1], anchor[2], anchor[3]
        );
        let mut command = Command::new(tool("named", "bind9"));
        command.args(["-g", "-n", "1", "-c"]).arg(tree.write("named.conf", &text));
        Self::start(tree, "named", command)
    }

    fn knot(tree: &Tree) -> Self {
        let folder = tree.path("kresd");
        fs::create_dir(&folder).expect("a folder");
        let anchor = &tree.anchor_ds;
        let roots = [("a", 1), ("b", 2)]
            .map(|(name, last)| format!("['{name}.root-servers.'] = {{ '{}', '{}' }}", v4(last), v6(last)));
        // It refuses `test.` by itself, as one of the names no resolver of the real world should ask for.
        let text = format!(
            "net.listen('{}', 53, {{ kind = 'dns' }})\nnet.ipv4, net.ipv6 = true, true\ncache.open(10 * MB, \
             'lmdb://{folder}/cache')\nmodules.load('hints')\nhints.root({{ {} }})\ntrust_anchors.remove('.')\n\
             trust_anchors.add([[. DS {anchor}]])\npolicy.add(policy.suffix(policy.PASS, policy.todnames({{ 'test.' \
             }})))\n",
            guest(),
            roots.join(", ")
        );
        let mut command = Command::new(tool("kresd", "knot-resolver"));
        command.args(["-n", "-c"]).arg(tree.write("kresd.conf", &text)).arg(&folder);
        Self::start(tree, "kresd", command)
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Addresses of the steered name.
    fn addresses(&self) -> Option<Vec<String>> {
        Some(dns::resolve((guest(), 53).into(), STEERED, dns::A, Duration::from_secs(2))?.addresses())
    }

    /// Everything is found, from nothing and from the cache; then a failover is followed.
    fn prove(&self, tree: &mut Tree) {
        let began = Instant::now();
        let questions = questions();
        for pass in ["first", "from the cache"] {
            let replies = dig(tree, guest().into(), &questions, "+adflag +tries=1 +time=5");
            judge(&format!("{} ({pass})", self.name), &questions, &replies, Question::wrong);
        }
        let asked = began.elapsed();
        // Whole seconds are counted down; half a second more for asking.
        let within = Duration::from_secs(u64::from(TTL) + 1) + Duration::from_millis(500);
        let follows = |address: Ipv4Addr| {
            let what = format!("{} follows to {address}", self.name);
            wait(&what, within, || self.addresses().filter(|now| *now == [address.to_string()])).1
        };
        if tree.is_knot {
            return;
        }
        follows(PRIMARY);
        tree.primary.break_down();
        tree.wait_turn(BACKUP);
        let followed = follows(BACKUP);
        println!(
            "{}: {} questions twice in {asked:.1?}, all right; a turn followed in {followed:.1?}",
            self.name,
            questions.len()
        );
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            println!("{}:\n{}", self.name, tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn unbound_from_the_root() {
    with_tree(|tree| {
        let unbound = Resolver::unbound(tree, "");
        unbound.prove(tree);
        // It asks in random case, and asks again in plain case where the reply has another.
        assert!(!unbound.log().contains("starting fallback"), "a reply lost the case of its question");
    });
}

#[test]
fn unbound_with_stubs() {
    with_tree(|tree| {
        let stub = |zone: &str, one: u8, other: u8| {
            format!("stub-zone:\n name: \"{zone}\"\n stub-addr: {}\n stub-addr: {}\n", v4(one), v6(other))
        };
        let stubs = [stub("example.test", 21, 22), stub("signed.test", 31, 32), stub("hashed.test", 32, 31)].concat();
        Resolver::unbound(tree, &stubs).prove(tree);
    });
}

#[test]
fn unbound_forwarding() {
    with_tree(|tree| {
        let unbound = Resolver::unbound(tree, &format!("forward-zone:\n name: \".\"\n forward-addr: {}\n", all()));
        unbound.prove(tree);
    });
}

#[test]
fn bind_from_the_root() {
    with_tree(|tree| {
        let bind = Resolver::bind(tree);
        bind.prove(tree);
        if tree.is_knot {
            return;
        }
        let (_, text) = get((Ipv4Addr::LOCALHOST, STATISTICS).into(), "/json/v1/server").expect("statistics");
        let text: Value = serde_json::from_str(&text).expect("JSON");
        let counts = &text["views"]["_default"]["resolver"]["stats"];
        let count = |name: &str| counts[name].as_u64().unwrap_or(0);
        for trouble in ["Lame", "FORMERR", "SERVFAIL", "OtherError", "EDNS0Fail", "Mismatch", "QueryTimeout"] {
            assert_eq!(count(trouble), 0, "{trouble}: {counts:#}");
        }
        assert!(count("Truncated") > 0, "big answers come over TCP: {counts:#}");
        // RFC 7873: each reply has a cookie with its own client part; what the servers gave is shown to them again.
        assert!(count("ServerCookieOut") > 0, "cookies are learned: {counts:#}");
        assert_eq!((count("CookieIn"), count("BadCookieRcode")), (count("CookieClientOk"), 0), "{counts:#}");
        println!("named: {} replies, {} with a cookie", count("Responsev4") + count("Responsev6"), count("CookieIn"));
    });
}

#[test]
fn knot_resolver_from_the_root() {
    with_tree(|tree| Resolver::knot(tree).prove(tree));
}

/// What is wrong with our own reply to a client. It need not lead further than our zones, and we have all of them.
fn direct(question: &Question, reply: &Reply) -> Option<String> {
    if question.rcode == "SERVFAIL" {
        return (reply.rcode != "NOERROR").then(|| format!("{}: a loop is told as far as it goes", reply.rcode));
    }
    if reply.rcode != question.rcode {
        return Some(format!("{} instead of {}", reply.rcode, question.rcode));
    }
    if !reply.flags.iter().any(|flag| flag == "aa") {
        return Some(format!("flags {:?}", reply.flags));
    }
    question.differs(&reply.records)
}

#[test]
fn dig_and_kdig_at_the_server_itself() {
    with_tree(|tree| {
        let questions = questions();
        for (server, options) in [
            (IpAddr::from(all()), "+norec"),
            (v6(9).into(), "+norec +dnssec"),
            (all().into(), "+norec +tcp"),
            (v6(9).into(), "+norec +noedns"),
        ] {
            let replies = dig(tree, server, &questions, &format!("{options} +tries=1 +time=2"));
            judge(&format!("dig {options}"), &questions, &replies, direct);
        }
        for options in [&["+norec"][..], &["+norec", "+tcp", "+dnssec"], &["+norec", "+bufsize=512", "+dnssec"]] {
            let replies = kdig(&questions, options);
            judge(&format!("kdig {options:?}"), &questions, &replies, direct);
        }
        println!("dig and kdig: {} questions in seven ways, all right", questions.len());
    });
}

/// Asks all of it with a few kdig.
fn kdig(questions: &[Question], options: &[&str]) -> Vec<Reply> {
    let mut all_replies = Vec::new();
    for some in questions.chunks(50) {
        let mut command = Command::new(tool("kdig", "knot-dnsutils"));
        command.arg(format!("@{}", v6(9))).args(options).args(["+retry=0", "+time=2"]);
        for one in some {
            command.args([&one.name, &one.rtype]);
        }
        let text = run(&mut command);
        let replies = replies(&text);
        assert_eq!(replies.len(), some.len(), "one reply for each question:\n{text}");
        all_replies.extend(replies);
    }
    all_replies
}

#[test]
fn delv_validates_at_the_server_itself() {
    with_tree(|tree| {
        let ds: Vec<&str> = tree.anchor_ds.split_whitespace().collect();
        let text = format!("trust-anchors {{ . static-ds {} {} {} \"{}\"; }};\n", ds[0], ds[1], ds[2], ds[3]);
        let anchor = tree.write("delv.keys", &text);
        let questions = questions();
        for question in &questions {
            let mut command = Command::new(tool("delv", "bind9-dnsutils"));
            command.arg(format!("@{}", all())).args(["-a", &anchor, "+root=.", &question.name, &question.rtype]);
            let output = command.stdin(Stdio::null()).output().expect("delv");
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            if let Some(wrong) = question.unlike_delv(&text) {
                panic!("delv {} {}: {wrong}\n{text}", question.name, question.rtype);
            }
        }
        println!("delv: {} questions, all right", questions.len());
    });
}

impl Question {
    /// What is wrong with what delv said.
    fn unlike_delv(&self, text: &str) -> Option<String> {
        let says = |words: &str| text.contains(words);
        let is_refused = self.security == Security::Bogus || self.rcode == "SERVFAIL";
        if is_refused {
            return (!says("resolution failed")).then(|| "it should have refused".to_owned());
        }
        let is_as_secure = match self.security {
            Security::Secure => says("fully validated") && !says("unsigned answer"),
            Security::Insecure => says("unsigned answer"),
            Security::Either | Security::Bogus => true,
        };
        if !is_as_secure {
            return Some(format!("{:?}", self.security));
        }
        let is_there = match self.rcode.as_str() {
            "NXDOMAIN" => says("ncache nxdomain") || says("; NXDOMAIN"),
            _ => !says("nxdomain"),
        };
        if !is_there {
            return Some(self.rcode.clone());
        }
        let lines = text.lines().filter(|line| !line.starts_with(';') && !line.is_empty());
        let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
        let found = words.filter(|words| words.len() > 4 && words[3] != "RRSIG");
        let mut found: BTreeSet<String> = found.map(|words| plain(words[0], words[3], &words[4..])).collect();
        let mut wanted = self.clone();
        if self.records.iter().any(|one| one.contains(" dname ")) {
            // delv prints a DNAME at the name it was asked for, and leaves out the CNAME made of it.
            let is_alias = |one: &String| one.contains(" dname ") || one.contains(" cname ");
            found.retain(|one| !is_alias(one));
            wanted.records.retain(|one| !is_alias(one));
        }
        wanted.differs(&found)
    }
}
