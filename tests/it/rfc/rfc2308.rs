//! RFC 2308: negative answers.

use super::world::World;

fn dig(soa: &str, question: &str) -> super::world::Answer {
    World::new(&[("example.com", &format!("@ {soa}\nwww A 192.0.2.1"))]).dig(question)
}

#[test]
fn s2_1_name_errors_and_s2_2_no_data_bring_the_soa() {
    for (asked, rcode) in
        [("nobody.example.com A", "NXDOMAIN"), ("www.example.com AAAA", "NOERROR"), ("example.com A", "NOERROR")]
    {
        let reply = dig("60 SOA ns mail 1 2 3 4 30", asked);
        reply.is(rcode, &[], &["example.com. 30 SOA ns.example.com. mail.example.com. 1 2 3 4 30"]);
        assert!(reply.aa);
    }
}

#[test]
fn s5_its_ttl_is_the_lesser_of_its_own_and_minimum() {
    for (own, minimum, ttl) in [(60, 30, 30), (30, 60, 30), (0, 60, 0), (7, 7, 7), (5, u32::MAX, 5)] {
        let reply = dig(&format!("{own} SOA ns mail 1 2 3 4 {minimum}"), "nobody.example.com A");
        assert_eq!(
            reply.authority,
            [format!("example.com. {ttl} SOA ns.example.com. mail.example.com. 1 2 3 4 {minimum}")]
        );
        let asked = dig(&format!("{own} SOA ns mail 1 2 3 4 {minimum}"), "example.com SOA");
        assert_eq!(
            asked.answer,
            [format!("example.com. {own} SOA ns.example.com. mail.example.com. 1 2 3 4 {minimum}")]
        );
    }
}
