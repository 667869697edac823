//! RFC 7873 and RFC 9018: DNS cookies. How they are made is tested with `answer/cookie.rs`.

use std::time::Duration;

use failoverd::answer::Transport;
use failoverd::config::Cookies;

use super::options::{COOKIE, NSID, SECRET, answering, ask, one, option, options, send, with_options, world};
use super::world::Answer;

const CLIENT: [u8; 8] = *b"\x24\x64\xc4\xab\xcf\x10\xc9\x57";
const WWW: [&str; 1] = ["www.example.com. 300 A 192.0.2.1"];

/// A query without a question and with these options (RFC 7873 §5.4).
fn greeting(options: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x2b\x67\x01\0\0\0\0\0\0\0\0\x01\0\0\x29\x04\xd0\0\0\0\0".to_vec();
    bytes.extend_from_slice(&(options.len() as u16).to_be_bytes());
    bytes.extend_from_slice(options);
    bytes
}

#[test]
fn s5_2_3_a_client_cookie_gets_a_server_cookie_and_its_answer() {
    let mut world = world();
    let reply = ask(&mut world, "www.example.com A", &option(COOKIE, &CLIENT));
    reply.is("NOERROR", &WWW, &[]);
    let both = one(&reply, COOKIE);
    assert_eq!((both.len(), &both[..8], &both[8..12]), (24, &CLIENT[..], &[1, 0, 0, 0][..]));
    assert_eq!(both[12..16], (world.desk.now.wall.seconds() as u32).to_be_bytes());
    assert_eq!(world.desk.tally.cookies_new, 1);
}

#[test]
fn s5_2_5_a_right_cookie_comes_back_until_it_is_half_an_hour_old() {
    let mut world = world();
    let first = one(&ask(&mut world, "www.example.com A", &option(COOKIE, &CLIENT)), COOKIE);
    for (seconds, same, is_right) in
        [(0, true, true), (1800, true, true), (1, false, true), (1799, false, true), (1, false, false)]
    {
        world.desk.now.wall = world.desk.now.wall + Duration::from_secs(seconds);
        let before = world.desk.tally.cookies_right;
        let reply = ask(&mut world, "www.example.com A", &option(COOKIE, &first));
        reply.is("NOERROR", &WWW, &[]);
        assert_eq!(one(&reply, COOKIE) == first, same, "{seconds}");
        assert_eq!(world.desk.tally.cookies_right - before, u64::from(is_right), "{seconds}");
    }
}

#[test]
fn s5_2_4_a_wrong_cookie_gets_its_answer_and_a_right_one() {
    let mut world = world();
    let right = one(&ask(&mut world, "www.example.com A", &option(COOKIE, &CLIENT)), COOKIE);
    for server in [&[7; 8][..], &[7; 16], &[7; 17], &[7; 32]] {
        let reply = ask(&mut world, "www.example.com A", &option(COOKIE, &[&CLIENT[..], server].concat()));
        reply.is("NOERROR", &WWW, &[]);
        assert_eq!(one(&reply, COOKIE), right);
    }
    assert_eq!(world.desk.tally.cookies_wrong, 4);
    // Another client's.
    let reply = send(
        &mut world,
        &with_options("www.example.com A", &option(COOKIE, &right)),
        [192, 0, 2, 9].into(),
        Transport::Udp,
    );
    assert_ne!(one(&reply.unwrap(), COOKIE), right);
}

#[test]
fn s5_2_2_other_lengths_are_formerr() {
    for length in (0..8).chain(9..16).chain([41, 42, 100]) {
        let reply = ask(&mut world(), "www.example.com A", &option(COOKIE, &vec![1; length]));
        reply.is("FORMERR", &[], &[]);
        assert_eq!((options(&reply), reply.bytes[5]), (vec![], 1), "with OPT and the question, without a cookie");
    }
    let second = [option(COOKIE, &CLIENT), option(COOKIE, &[1])].concat();
    assert_eq!(ask(&mut world(), "www.example.com A", &second).rcode, "FORMERR");
}

#[test]
fn s5_4_a_cookie_may_be_asked_for_without_a_question() {
    let mut world = world();
    let client = [192, 0, 2, 1].into();
    let mut greet = |options: &[u8]| send(&mut world, &greeting(options), client, Transport::Udp).unwrap();
    let new = greet(&option(COOKIE, &CLIENT));
    new.is("NOERROR", &[], &[]);
    let right = one(&new, COOKIE);
    assert_eq!(new.bytes[4..6], [0, 0]);
    let known = greet(&option(COOKIE, &right));
    assert_eq!((known.rcode.as_str(), one(&known, COOKIE)), ("NOERROR", right.clone()));
    let wrong = greet(&option(COOKIE, &[&CLIENT[..], &[9; 16]].concat()));
    assert_eq!((wrong.rcode.as_str(), one(&wrong, COOKIE)), ("BADCOOKIE", right));
    for options in [&[][..], &option(NSID, &[]), &option(COOKIE, &[1; 9])] {
        greet(options).is("FORMERR", &[], &[]);
    }
}

#[test]
fn s6_secrets_are_rolled_over_without_a_client_being_forgotten() {
    let mut world = world();
    let old = one(&ask(&mut world, "www.example.com A", &option(COOKIE, &CLIENT)), COOKIE);
    let mut cookie_of = |secrets: &[[u8; 16]], sent: &[u8]| {
        answering(&mut world, |answering| answering.cookies = Cookies::of(secrets.iter().copied()));
        let before = world.desk.tally.cookies_right;
        let reply = one(&ask(&mut world, "www.example.com A", &option(COOKIE, sent)), COOKIE);
        (reply, world.desk.tally.cookies_right > before)
    };
    assert_eq!(cookie_of(&[SECRET, [2; 16]], &old), (old.clone(), true));
    let (new, is_right) = cookie_of(&[[2; 16], SECRET], &old);
    assert!(is_right && new != old, "the old secret's is taken, the new secret makes the next");
    assert_eq!(cookie_of(&[[2; 16]], &new), (new, true));
    assert!(!cookie_of(&[[2; 16]], &old).1);
}

#[test]
fn s9_cookies_may_be_switched_off() {
    let mut world = world();
    answering(&mut world, |answering| answering.cookies.enabled = false);
    let reply = ask(&mut world, "www.example.com A", &option(COOKIE, &CLIENT));
    reply.is("NOERROR", &WWW, &[]);
    assert_eq!(options(&reply), []);
    let reply: Answer =
        send(&mut world, &greeting(&option(COOKIE, &CLIENT)), [192, 0, 2, 1].into(), Transport::Udp).unwrap();
    assert_eq!(reply.rcode, "FORMERR");
}

#[test]
fn rfc_9018_s4_4_a_client_is_the_same_behind_a_socket_of_both_families() {
    let mut world = world();
    let sent = with_options("www.example.com A", &option(COOKIE, &CLIENT));
    let four = send(&mut world, &sent, [192, 0, 2, 1].into(), Transport::Udp).unwrap();
    let mapped = send(&mut world, &sent, "::ffff:192.0.2.1".parse().unwrap(), Transport::Tcp).unwrap();
    let six = send(&mut world, &sent, "2001:db8::1".parse().unwrap(), Transport::Udp).unwrap();
    assert_eq!(one(&four, COOKIE), one(&mapped, COOKIE));
    assert_ne!(one(&four, COOKIE), one(&six, COOKIE));
}

#[test]
fn a_wrong_opcode_is_no_reason_to_forget_the_cookie() {
    let mut world = world();
    let mut bytes = with_options("www.example.com A", &option(COOKIE, &CLIENT));
    bytes[2] = 0x78;
    let reply = send(&mut world, &bytes, [192, 0, 2, 1].into(), Transport::Udp).unwrap();
    assert_eq!((reply.rcode.as_str(), one(&reply, COOKIE).len()), ("NOTIMP", 24));
}
