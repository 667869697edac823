//! RFC 8020: there is really nothing below a missing name.

use super::world::World;

#[test]
fn s2_below_a_missing_name_is_nxdomain_and_below_a_leaf_too() {
    let mut world = World::new(&[("example.com", "@ SOA ns mail 1 2 3 4 5\nwww A 192.0.2.1")]);
    for asked in ["nobody.example.com A", "a.b.c.nobody.example.com A", "x.www.example.com A"] {
        assert_eq!(world.dig(asked).rcode, "NXDOMAIN", "{asked}");
    }
    let deep = format!("{}example.com A", "a.".repeat(121));
    assert_eq!(world.dig(&deep).rcode, "NXDOMAIN");
}
