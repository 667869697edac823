//! RFC 9471: glue in referrals.

use super::world::World;

fn world() -> World {
    let fat: String = (1..=60).map(|host| format!("fat NS ns{host}.fat\nns{host}.fat A 192.0.2.{host}\n")).collect();
    let wide: String =
        (1..=30).map(|host| format!("wide NS ns{host}.other\nns{host}.other A 192.0.2.{host}\n")).collect();
    World::new(&[(
        "example.com",
        &format!(
            "
            @ SOA ns mail 1 2 3 4 5
            ns A 192.0.2.9
            sub NS ns.sub
            sub NS ns
            sub NS ns.sibling
            sub NS ns.example.net.
            ns.sub A 192.0.2.1
            ns.sub AAAA 2001:db8::1
            sibling NS ns.sibling
            ns.sibling A 192.0.2.2
            other NS ns1.other
            {fat}{wide}"
        ),
    )])
}

#[test]
fn s2_1_in_domain_glue_comes_first_and_s2_2_sibling_glue_too() {
    let reply = world().dig("www.sub.example.com A");
    assert_eq!(reply.authority.len(), 4);
    assert_eq!(
        reply.additional[..2],
        ["ns.sub.example.com. 300 A 192.0.2.1", "ns.sub.example.com. 300 AAAA 2001:db8::1"]
    );
    let mut others = reply.additional[2..].to_vec();
    others.sort();
    assert_eq!(others, ["ns.example.com. 300 A 192.0.2.9", "ns.sibling.example.com. 300 A 192.0.2.2"]);
    assert!(!reply.aa && !reply.tc);
}

#[test]
fn s2_1_required_glue_that_does_not_fit_is_truncation() {
    let reply = world().dig("www.fat.example.com A +edns=1232");
    assert!(reply.tc && reply.bytes.len() <= 1232);
    let whole = world().dig("www.fat.example.com A +tcp");
    assert_eq!((whole.tc, whole.authority.len(), whole.additional.len()), (false, 60, 60));
}

#[test]
fn s2_2_sibling_glue_that_does_not_fit_is_not() {
    let reply = world().dig("www.wide.example.com A +edns=1000");
    assert_eq!((reply.tc, reply.authority.len()), (false, 30));
    assert!((1..30).contains(&reply.additional.len()), "{}", reply.additional.len());
}
