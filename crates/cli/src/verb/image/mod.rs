//! The commands about images.

mod filter;
pub(crate) mod history;
pub(crate) mod load;
pub(crate) mod ls;
pub(crate) mod prune;
pub(crate) mod push;
pub(crate) mod rm;
pub(crate) mod save;
pub(crate) mod tag;

/// An image's id as lists show it: the first digits, or all of it with the algorithm.
fn shown_id(id: &str, whole: bool) -> String {
    if whole { id.to_owned() } else { id.strip_prefix("sha256:").unwrap_or(id).chars().take(12).collect() }
}

/// A name's repository and what follows it: the tag, or the digest.
fn parted(name: &str) -> (&str, &str) {
    if let Some(parts) = name.split_once('@') {
        return parts;
    }
    match name.rsplit_once(':') {
        // The port of a registry is no tag.
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, ""),
    }
}
