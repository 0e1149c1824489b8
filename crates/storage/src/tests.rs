//! What the tests of this crate share.

use std::process::Command;

/// The variable that a test finds set when it runs in a mount namespace of its own.
const INSIDE: &str = "STOCKADE_TEST_OWN_MOUNTS";

/// Whether the caller is in a mount namespace of its own. If it is not, it runs the test `name` of this program in one
/// and fails if that fails.
pub(crate) fn in_own_mounts(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{name} names no test: {text}");
    false
}
