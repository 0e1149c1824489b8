//! What stands in for a verb's body until it is written.

/// Ends the process: the verb is not there.
pub(crate) fn body<A, T>(_arguments: A) -> T {
    std::process::abort()
}
