//! The one line that `run` says of a container that ended at once because it was not permitted something.

use std::time::Duration;

/// Who has run longer has done something first, and ended for another reason.
const AT_ONCE: Duration = Duration::from_secs(1);
/// What the C library, Go, Rust, Python and Java say of `EPERM`, `EACCES` and `ENOSYS`.
const WORDS: [&str; 6] =
    ["operation not permitted", "permission denied", "function not implemented", "eperm", "eacces", "enosys"];
/// The program cannot be executed: `EACCES`, as shells and the engine say it.
const NOT_EXECUTABLE: u8 = 126;

/// The hint for a container that ended with `code` after `time`, and whose last words were `said`.
pub(crate) fn hint(code: u8, time: Duration, said: &[u8]) -> Option<&'static str> {
    if code == 0 || time > AT_ONCE {
        return None;
    }
    let said = String::from_utf8_lossy(said).to_lowercase();
    let denied = code == NOT_EXECUTABLE || WORDS.iter().any(|word| said.contains(word));
    denied.then_some("it ended at once, and says that something was not permitted: 'stockade run --explain ...' tells what said no, and which flag allows it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_not_permitted_something_and_ended_at_once_is_told() {
        let now = Duration::from_millis(200);
        for (code, said) in [
            (1, "mount: /mnt: Operation not permitted."),
            (1, "PermissionError: [Errno 13] Permission denied: '/x'"),
            (2, "open /x: function not implemented"),
            (126, ""),
        ] {
            assert!(hint(code, now, said.as_bytes()).is_some(), "{said}");
            assert!(hint(code, Duration::from_secs(5), said.as_bytes()).is_none(), "{said}");
            assert!(hint(0, now, said.as_bytes()).is_none(), "{said}");
        }
        assert!(hint(1, now, b"no such file or directory").is_none());
        assert!(hint(137, now, b"").is_none());
    }
}
