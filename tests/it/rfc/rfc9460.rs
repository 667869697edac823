//! RFC 9460: SVCB and HTTPS.

use super::world::World;

#[test]
fn s4_1_the_target_brings_its_addresses_and_a_dot_means_the_owner() {
    let mut world = World::new(&[(
        "example.com",
        "
        @ SOA ns mail 1 2 3 4 5
        @ HTTPS 0 svc
        svc HTTPS 1 .
        svc A 192.0.2.1
        svc AAAA 2001:db8::1
        off HTTPS 1 cdn.example.net.
        none SRV 0 0 0 .
        ssh SRV 0 0 22 svc
        ",
    )]);
    let addresses = ["svc.example.com. 300 A 192.0.2.1", "svc.example.com. 300 AAAA 2001:db8::1"];
    let alias = world.dig("example.com HTTPS");
    alias.is("NOERROR", &["example.com. 300 HTTPS 0 svc.example.com."], &[]);
    assert_eq!(alias.additional, [addresses[0], addresses[1], "svc.example.com. 300 HTTPS 1 ."]);
    assert_eq!(world.dig("svc.example.com HTTPS").additional, addresses);
    assert!(world.dig("off.example.com HTTPS").additional.is_empty());
    assert!(world.dig("none.example.com SRV").additional.is_empty());
    assert_eq!(world.dig("ssh.example.com SRV").additional, addresses);
}

#[test]
fn s2_5_2_a_service_at_its_own_name_is_not_said_twice() {
    let mut world = World::new(&[(
        "example.com",
        "@ SOA ns mail 1 2 3 4 5\nown HTTPS 1 OWN\nown A 192.0.2.1\nloop SVCB 0 loop\n*.wild HTTPS 1 x.wild",
    )]);
    assert_eq!(world.dig("own.example.com HTTPS").additional, ["OWN.example.com. 300 A 192.0.2.1"]);
    assert!(world.dig("loop.example.com SVCB").additional.is_empty());
    assert!(world.dig("x.wild.example.com HTTPS").additional.is_empty());
}
