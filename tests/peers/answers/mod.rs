//! The same zones and the same questions to Knot, NSD, BIND and us, all as processes with sockets. Where the three agree,
//! we must agree; where they do not, we must agree with one of them; or there is a reason that is written down in
//! [`exceptions`].
//!
//! `PEERS_ZONES=folder` asks about other zones than the written ones, `PEERS_SEED` and `PEERS_ROUNDS` draw others,
//! `PEERS_QUESTIONS` asks more or fewer of them.

mod compare; //    what two replies have in common
mod exceptions; // where we differ, and why
mod peers; //      servers as processes, many questions at once
mod questions; //  what is asked
mod zones; //      what they serve

use std::collections::BTreeMap;
use std::path::Path;

use failoverd::dns::Name;
use failoverd::zone::table::Table;

use self::compare::{Gist, Known, faults, gist, known, unlike};
use self::exceptions::{Case, EXCEPTIONS, ShownBy};
use self::peers::{Peer, ask_all, ourselves};
use self::questions::{Question, every_type, names, odd, ordinary, some};
use self::zones::{Zones, drawn, in_folder, pick, sign, sign_drawn, tables, written};
use crate::support::daemon::Daemon;

/// All servers with the same zones, and what came of asking them.
struct Parties {
    us: Daemon,
    peers: [Peer; 3],
    tables: Vec<Table>,
    known: Known,
    count: Count,
}

#[derive(Default)]
struct Count {
    asked: usize,
    /// The three peers agreed.
    unanimous: usize,
    /// Each peer agreed with one of the other two.
    accompanied: [usize; 3],
    /// We agreed with one of the three.
    agreed: usize,
    /// By what differs.
    differences: BTreeMap<String, Vec<String>>,
    excused: BTreeMap<&'static str, usize>,
}

impl Parties {
    /// Starts all four. Zones that we refuse are a failure; those that a peer refuses are told and not asked about.
    fn new(mut zones: Zones) -> Self {
        for peer in [Peer::knot, Peer::nsd, Peer::bind] {
            let peer = peer(&zones);
            let refused = peer.refused(&zones);
            if !refused.is_empty() {
                println!("{} refuses {refused:?}", peer.name);
                if std::env::var_os("PEERS_LOG").is_some() {
                    println!("{}", peer.log());
                }
                zones.retain(|apex, _| !refused.contains(apex));
            }
        }
        let peers = [Peer::knot(&zones), Peer::nsd(&zones), Peer::bind(&zones)];
        for peer in &peers {
            assert_eq!(peer.refused(&zones), Vec::<String>::new(), "{}: {}", peer.name, peer.log());
        }
        let tables: Vec<Table> =
            tables(&zones).into_values().map(|table| table.unwrap_or_else(|report| panic!("{report}"))).collect();
        let known = known(&tables);
        Self { us: ourselves(&zones), peers, tables, known, count: Count::default() }
    }

    /// Asks all four everything.
    fn ask(&mut self, questions: &[Question]) {
        let apexes: Vec<Name> = self.tables.iter().map(|table| table.apex().folded()).collect();
        for questions in questions.chunks(20_000) {
            let us = self.us.dns;
            let [knot, nsd, bind] = [0, 1, 2].map(|at| self.peers[at].address);
            let [ours, theirs @ ..] = std::thread::scope(|scope| {
                [us, knot, nsd, bind]
                    .map(|server| scope.spawn(move || ask_all(server, questions)))
                    .map(|thread| thread.join().expect("a thread that asks"))
            });
            let replies = |at: usize| theirs.each_ref().map(|replies| gist(&questions[at], replies[at].as_deref()));
            // Whole in ours, truncated in others: what they say where there is room.
            let is_cut = |gist: &Option<Gist>| gist.as_ref().is_some_and(|gist| gist.tc);
            let is_whole = |at: usize| gist(&questions[at], ours[at].as_deref()).is_some_and(|gist| !gist.tc);
            let cut: Vec<usize> =
                (0..questions.len()).filter(|&at| is_whole(at) && replies(at).iter().any(is_cut)).collect();
            let again: Vec<Question> = cut.iter().map(|&at| questions[at].over_tcp()).collect();
            let over_tcp = [knot, nsd, bind].map(|server| ask_all(server, &again));
            let mut doubtful = Vec::new();
            for (at, question) in questions.iter().enumerate() {
                let mut theirs = replies(at);
                if let Ok(place) = cut.binary_search(&at) {
                    for (gist, replies) in theirs.iter_mut().zip(&over_tcp).filter(|(gist, _)| is_cut(gist)) {
                        *gist = compare::gist(question, replies[place].as_deref());
                    }
                }
                let ours = ours[at].as_deref();
                for fault in ours.map(|reply| faults(question, reply, &self.known)).unwrap_or_default() {
                    self.count
                        .differences
                        .entry(fault)
                        .or_default()
                        .push(format!("{question}: {:?}", gist(question, ours)));
                }
                let ours = gist(question, ours);
                if !self.count.agrees(ours.as_ref(), &theirs) {
                    doubtful.push((question, ours, theirs));
                }
            }
            // What is truncated cannot be excused; what it would be with more room can, if that takes more room, and if
            // TC is not all that differs.
            let again: Vec<Question> = doubtful.iter().map(|(question, ..)| question.over_tcp()).collect();
            let over_tcp = [us, knot, nsd, bind].map(|server| ask_all(server, &again));
            for (at, (question, ours, theirs)) in doubtful.into_iter().enumerate() {
                let is_cut = is_cut(&ours);
                let [roomy, others @ ..] = over_tcp.each_ref().map(|replies| gist(question, replies[at].as_deref()));
                let (seen, by) = if is_cut { (&roomy, &others) } else { (&ours, &theirs) };
                let would_fit = over_tcp[0][at].as_ref().is_some_and(|reply| reply.len() <= question.room());
                let is_premature = is_cut && (would_fit || by.contains(&roomy));
                let case = seen.as_ref().map(|ours| Case { question, ours, theirs: by, apexes: &apexes });
                let exception = EXCEPTIONS.iter().find(|exception| case.as_ref().is_some_and(exception.holds));
                match exception.filter(|_| !is_premature) {
                    Some(exception) => *self.count.excused.entry(exception.reason).or_default() += 1,
                    None => self.count.differ(question, ours.as_ref(), &theirs),
                }
            }
        }
    }
}

impl Count {
    /// Counts, and says whether we agree with one of the others.
    fn agrees(&mut self, ours: Option<&Gist>, theirs: &[Option<Gist>; 3]) -> bool {
        self.asked += 1;
        let same = |one: usize, other: usize| theirs[one] == theirs[other];
        self.unanimous += usize::from(same(0, 1) && same(0, 2));
        for (at, (one, other)) in [(1, 2), (0, 2), (0, 1)].into_iter().enumerate() {
            self.accompanied[at] += usize::from(same(at, one) || same(at, other));
        }
        let agrees = theirs.iter().any(|theirs| theirs.as_ref() == ours);
        self.agreed += usize::from(agrees);
        agrees
    }

    fn differ(&mut self, question: &Question, ours: Option<&Gist>, theirs: &[Option<Gist>; 3]) {
        let [knot, nsd, bind] = theirs;
        let (what, told) = if knot == nsd && knot == bind {
            let what = unlike(ours, knot.as_ref());
            (format!("unlike all three: {what}"), format!("{question}\n  ours {ours:?}\n  all  {knot:?}"))
        } else {
            let what = theirs.each_ref().map(|theirs| unlike(ours, theirs.as_ref()));
            let told = format!("{question}\n  ours {ours:?}\n  knot {knot:?}\n  nsd  {nsd:?}\n  bind {bind:?}");
            (format!("unlike each of three: {}", what.join("; ")), told)
        };
        self.differences.entry(what).or_default().push(told);
    }

    /// Tells what came of one set of zones.
    fn tell(&self, what: &str) {
        let percent = |count: usize| 100.0 * count as f64 / self.asked as f64;
        let [knot, nsd, bind] = self.accompanied.map(percent);
        println!(
            "{what}: {} questions, {} of them with one answer of all three; agreement with at least one other: failoverd {:.3} %, knot {knot:.1} %, nsd {nsd:.1} %, bind {bind:.1} %",
            self.asked,
            self.unanimous,
            percent(self.agreed)
        );
        for (reason, count) in &self.excused {
            println!("  {count} times: {reason}");
        }
        let shown = number("PEERS_SHOWN").unwrap_or(2) as usize;
        for (what, told) in &self.differences {
            println!("== {} times {what}", told.len());
            told.iter().take(shown).for_each(|one| println!("{one}"));
        }
    }

    /// Adds what came of another set.
    fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.agreed += other.agreed;
        for (what, told) in other.differences {
            self.differences.entry(what).or_default().extend(told);
        }
        for (reason, count) in other.excused {
            *self.excused.entry(reason).or_default() += count;
        }
    }

    /// Fails on a difference without a reason, and on too little agreement in all sets of a run together.
    fn conclude(&self) {
        assert!(self.differences.is_empty(), "{} kinds of differences", self.differences.len());
        let agreed = 100.0 * self.agreed as f64 / self.asked as f64;
        assert!(agreed >= AGREEMENT, "we agree with one of the others on {agreed:.3} % only");
    }

    /// Fails on an exception that these questions should have shown, and did not.
    fn used(&self, shown_by: ShownBy) {
        for exception in EXCEPTIONS.iter().filter(|exception| exception.shown_by == shown_by) {
            assert!(self.excused.contains_key(exception.reason), "never held: {}", exception.reason);
        }
    }
}

/// Percent of a run's questions on which we agree with at least one of the others.
const AGREEMENT: f64 = 99.8;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}: {text} is no number")))
}

/// How many of the questions about one set of zones are asked.
fn questions_wanted(usual: usize) -> usize {
    number("PEERS_QUESTIONS").map_or(usual, |count| count as usize)
}

/// Fails if a set had fewer questions than it is known to have, unless other numbers or zones are wanted.
fn at_least(least: usize, asked: usize) {
    let is_other = ["PEERS_QUESTIONS", "PEERS_ZONES"].iter().any(|variable| std::env::var_os(variable).is_some());
    assert!(is_other || asked >= least, "{asked} questions only");
}

#[test]
fn written_zones_are_answered_as_the_peers_agree() {
    let folder = std::env::var("PEERS_ZONES").ok();
    let seed = number("PEERS_SEED").unwrap_or(1);
    let sets = match &folder {
        Some(folder) => vec![(folder.as_str(), in_folder(Path::new(folder)), 0)],
        None => {
            let how = |apex: &str| if apex == "." { "nsec" } else { "nsec3 optout" };
            let signed = written("root").into_iter().map(|(apex, text)| {
                let text = sign(&apex, &text, how(&apex));
                (apex, text)
            });
            vec![
                ("main", written("main"), 60_000),
                ("root", written("root"), 50_000),
                ("signed root", signed.collect(), 50_000),
            ]
        }
    };
    let mut run = Count::default();
    for (name, zones, least) in sets {
        let count = zones.len();
        let mut parties = Parties::new(zones);
        assert!(folder.is_some() || parties.tables.len() == count, "all take every zone that is written here");
        let mut draw = failoverd::answer::Desk::new(seed).draw;
        let all = ordinary(&parties.tables, &mut draw);
        let of = all.len();
        let questions = some(all, questions_wanted(60_000), &mut draw);
        parties.ask(&questions);
        parties.count.tell(&format!("{name}: {count} zones, PEERS_SEED={seed}, of {of}"));
        at_least(least, parties.count.asked);
        run.add(parties.count);
    }
    run.conclude();
    if folder.is_none() && number("PEERS_QUESTIONS").is_none() {
        run.used(ShownBy::Written);
    }
}

#[test]
fn every_type_and_odd_messages_are_answered_as_the_peers_agree() {
    let mut parties = Parties::new(written("main"));
    let mut draw = failoverd::answer::Desk::new(number("PEERS_SEED").unwrap_or(1)).draw;
    let all: Vec<Name> = names(&parties.tables, &mut draw).into_keys().collect();
    let fixed =
        ["all.types.test", "x.wild.test", "empty.alias.test", "example.com", "x.cut.cut.test", "x.a.dname.test"];
    let fixed = fixed.map(|name| Name::absolute(name).expect("a name"));
    let drawn = (0..36).map(|_| all[pick(&mut draw, all.len())].clone());
    let names: Vec<Name> = fixed.into_iter().chain(drawn).collect();
    parties.ask(&every_type(&names));
    for name in ["www.example.com", "example.com", "x.wild.test", "x.sub.example.com", "nobody.invalid"] {
        parties.ask(&odd(name));
    }
    parties.count.tell("every type, odd messages");
    at_least(20_000, parties.count.asked);
    parties.count.conclude();
    parties.count.used(ShownBy::Odd);
}

#[test]
fn drawn_zones_are_answered_as_the_peers_agree() {
    let first = number("PEERS_SEED").unwrap_or(1);
    let rounds = number("PEERS_ROUNDS").unwrap_or(1);
    let mut run = Count::default();
    for seed in first..first + rounds {
        let mut zones = drawn(seed, 60);
        let all = zones.len();
        // We are the strictest about what a zone may hold.
        let loaded = tables(&zones);
        zones.retain(|apex, _| loaded[apex].is_ok());
        sign_drawn(&mut zones);
        let mut parties = Parties::new(zones);
        let left = parties.tables.len();
        assert!(2 * left >= all, "all servers take {left} of {all} zones only");
        let mut draw = failoverd::answer::Desk::new(seed).draw;
        let all = ordinary(&parties.tables, &mut draw);
        let questions = some(all, questions_wanted(20_000), &mut draw);
        parties.ask(&questions);
        parties.count.tell(&format!("drawn zones, PEERS_SEED={seed}"));
        at_least(20_000, parties.count.asked);
        run.add(parties.count);
    }
    run.conclude();
    // Seeds 1 to 9 are known to show them.
    if first == 1 && rounds >= 9 && number("PEERS_QUESTIONS").is_none() {
        run.used(ShownBy::Drawn);
    }
}
