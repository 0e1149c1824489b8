//! What the walls around a container's network deny, and that it works with the flag that `--explain` names.

use stockade_testkit::requires;

use crate::place::{OUTSIDE, Place};

/// The flags of the container, a script that fails, the wall that is to be named, and the flag.
type Denied<'text> = (&'text [&'text str], String, &'text str, &'text str);

#[test]
fn each_is_explained_and_allowed_by_the_flag_that_is_named() {
    requires!(root, stockade, debian_image, ip, socat, tracepoints);
    let place = Place::new();
    let _outside = place.says(|words| place.outside(words), 7001, "outside");
    let socket = |how: &str| format!("perl -MSocket -e '{how} or exit(1)'");
    let bind = socket("socket(S, 2, 1, 0) and bind(S, sockaddr_in(80, INADDR_ANY)) and listen(S, 1)");
    let raw = socket("socket(S, 2, 3, 1)");
    let connect = format!("for i in $(seq 50); do exec 3<>/dev/tcp/{OUTSIDE}/7001 && exit 0; sleep 0.1; done; exit 1");
    let cases: [Denied<'_>; 4] = [
        (&["--network", "none"], connect, "network", "--network bridge"),
        // In a network namespace of its own every port is anybody's.
        (&["--network", "host", "--cap-drop", "NET_BIND_SERVICE"], bind, "capability", "--cap-add NET_BIND_SERVICE"),
        (&["--network", "host", "--cap-drop", "NET_RAW"], raw.clone(), "capability", "--cap-add NET_RAW"),
        (&["--cap-drop", "NET_RAW"], raw, "capability", "--cap-add NET_RAW"),
    ];
    for (flags, script, wall, way) in &cases {
        let denied = place.run(&[flags, &["--explain"][..]].concat(), script).exits(1);
        assert!(denied.stderr.contains(&format!("[{wall}]")), "{denied:?}");
        assert!(denied.stderr.contains(&format!("  {way} would allow it, at")), "{denied:?}");
        let named: Vec<&str> = way.split(' ').collect();
        // A network that is named takes the place of the one that was asked for.
        let kept = flags.iter().copied().filter(|_| named[0] != "--network");
        let allowed: Vec<&str> = kept.chain(named.iter().copied()).collect();
        place.run(&allowed, script).ok().either_way();
    }
}
