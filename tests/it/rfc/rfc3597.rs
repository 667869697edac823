//! RFC 3597: types we know nothing about.

use super::world::World;

#[test]
fn s4_data_of_unknown_types_is_opaque() {
    let mut world = World::new(&[(
        "example.com",
        "@ SOA ns mail 1 2 3 4 5\nx TYPE731 opaque\nx TYPE65280 other\nx A 192.0.2.1\nx TYPE99 spf",
    )]);
    for (rtype, rdata) in [("TYPE731", "opaque"), ("TYPE65280", "other"), ("TYPE99", "spf")] {
        world.dig(&format!("x.example.com {rtype}")).is(
            "NOERROR",
            &[&format!("x.example.com. 300 {rtype} {rdata}")],
            &[],
        );
    }
    for rtype in ["TYPE65535", "TYPE127", "TYPE300"] {
        assert_eq!(world.dig(&format!("x.example.com {rtype}")).rcode, "NOERROR");
    }
}
