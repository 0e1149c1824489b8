//! What `rmi` does to an image, decided from what is known of it: Docker's rules, without touching anything.

use super::{Conflict, ForceImage};

/// What is known of an image that is to be removed. Names are in Docker's short form.
pub(super) struct Known<'a> {
    /// The first digits of its id.
    pub(super) id: &'a str,
    /// `name:tag` each.
    pub(super) tags: &'a [String],
    /// `name@sha256:...` each.
    pub(super) digests: &'a [String],
    /// The containers made from it.
    pub(super) users: &'a [User],
}

/// A container that was made from an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    /// The first digits of its id.
    pub(super) id: String,
    /// Whether it runs.
    pub(super) running: bool,
}

/// How the user named the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named<'a> {
    /// By its id or the beginning of it.
    Id,
    /// By one of its names.
    Name(&'a str),
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The names that go, in this order.
    pub(super) untag: Vec<String>,
    /// Whether the image itself goes, too.
    pub(super) delete: bool,
}

/// Docker's rules. By a name that name goes, and the image with its last one, unless a container needs it; by an id all
/// names go if there is one tag only.
///
/// # Errors
/// In Docker's words.
pub(super) fn plan(known: &Known<'_>, named: Named<'_>, force: ForceImage) -> Result<Plan, Conflict> {
    let all: Vec<&String> = known.tags.iter().chain(known.digests).collect();
    let forced = force == ForceImage::Yes;
    match named {
        Named::Name(name) => {
            if let Some(user) = known.users.first().filter(|_| !forced && single(known)) {
                return Err(Conflict::LastName {
                    name: name.to_owned(),
                    container: user.id.clone(),
                    image: known.id.to_owned(),
                });
            }
            let mut untag = vec![name.to_owned()];
            let others = known.tags.iter().filter(|tag| *tag != name);
            let last_of_repository = !others.clone().any(|other| repository(other) == repository(name));
            if !name.contains('@') && last_of_repository {
                // Without a tag a repository's digests mean nothing to anybody.
                untag.extend(known.digests.iter().filter(|digest| repository(digest) == repository(name)).cloned());
            }
            let rest = all.iter().filter(|one| !untag.contains(one)).count();
            // What a container still needs stays without a name.
            let delete = rest == 0 && conflict(known, force).is_none();
            Ok(Plan { untag, delete })
        }
        Named::Id => match conflict(known, force) {
            Some(conflict) => Err(conflict),
            None if !forced && !single(known) => Err(Conflict::Repositories { image: known.id.to_owned() }),
            None => Ok(Plan { untag: all.into_iter().cloned().collect(), delete: true }),
        },
    }
}

/// Why the image itself cannot be removed.
fn conflict(known: &Known<'_>, force: ForceImage) -> Option<Conflict> {
    let image = || known.id.to_owned();
    if let Some(user) = known.users.iter().find(|user| user.running) {
        return Some(Conflict::Running { image: image(), container: user.id.clone() });
    }
    let user = known.users.first().filter(|_| force == ForceImage::No);
    user.map(|user| Conflict::Stopped { image: image(), container: user.id.clone() })
}

/// Whether there is at most one tag, and the digests are of its repository.
fn single(known: &Known<'_>) -> bool {
    let mut names = known.tags.iter().chain(known.digests).map(|name| repository(name));
    let first = names.next();
    known.tags.len() <= 1 && names.all(|name| Some(name) == first)
}

/// A name without its tag and digest.
pub(crate) fn repository(name: &str) -> &str {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    match name.rsplit_once(':') {
        // The port of a registry is no tag.
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "a@sha256:1";

    fn decided(
        tags: &[&str],
        digests: &[&str],
        users: &[(&str, bool)],
        named: Named<'_>,
        force: ForceImage,
    ) -> Result<Plan, String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let users = users.iter().map(|(id, running)| User { id: (*id).to_owned(), running: *running });
        let (tags, digests, users) = (owned(tags), owned(digests), users.collect::<Vec<_>>());
        let known = Known { id: "0123456789ab", tags: &tags, digests: &digests, users: &users };
        plan(&known, named, force).map_err(|conflict| conflict.to_string())
    }

    fn does(untag: &[&str], delete: bool) -> Result<Plan, String> {
        Ok(Plan { untag: untag.iter().map(|name| (*name).to_owned()).collect(), delete })
    }

    #[test]
    fn by_a_name() {
        use ForceImage::{No, Yes};
        let named = Named::Name("a:1");
        assert_eq!(decided(&["a:1"], &[], &[], named, No), does(&["a:1"], true));
        assert_eq!(decided(&["a:1", "a:2"], &[DIGEST], &[("c", true)], Named::Name("a:1"), Yes), does(&["a:1"], false));
        assert_eq!(decided(&["a:1", "b:1"], &[DIGEST], &[("c", true)], named, No), does(&["a:1", DIGEST], false));
        assert_eq!(decided(&["a:1"], &[DIGEST], &[], named, No), does(&["a:1", DIGEST], true));
        assert_eq!(decided(&[], &[DIGEST], &[], Named::Name(DIGEST), No), does(&[DIGEST], true));
        let refused = decided(&["a:1"], &[DIGEST], &[("c", false)], named, No).unwrap_err();
        assert_eq!(
            refused,
            "conflict: unable to remove repository reference \"a:1\" (must force) - container c is using its \
             referenced image 0123456789ab"
        );
        assert_eq!(decided(&["a:1"], &[], &[("c", false)], named, Yes), does(&["a:1"], true));
        // What runs keeps its image, which has no name any more.
        assert_eq!(decided(&["a:1"], &[], &[("c", true)], named, Yes), does(&["a:1"], false));
    }

    #[test]
    fn by_an_id() {
        use ForceImage::{No, Yes};
        assert_eq!(decided(&[], &[], &[], Named::Id, No), does(&[], true));
        assert_eq!(decided(&["a:1"], &[DIGEST], &[], Named::Id, No), does(&["a:1", DIGEST], true));
        let refused =
            |users: &[(&str, bool)], tags: &[&str], force| decided(tags, &[], users, Named::Id, force).unwrap_err();
        let begin = "conflict: unable to delete 0123456789ab";
        assert_eq!(
            refused(&[], &["a:1", "b:1"], No),
            format!("{begin} (must be forced) - image is referenced in multiple repositories")
        );
        assert_eq!(refused(&[], &["a:1", "a:2"], No), refused(&[], &["a:1", "b:1"], No));
        assert_eq!(
            refused(&[("c", false)], &["a:1"], No),
            format!("{begin} (must be forced) - image is being used by stopped container c")
        );
        let running = format!("{begin} (cannot be forced) - image is being used by running container d");
        assert_eq!(refused(&[("c", false), ("d", true)], &["a:1"], No), running);
        assert_eq!(refused(&[("c", false), ("d", true)], &["a:1"], Yes), running);
        assert_eq!(decided(&["a:1", "b:1"], &[], &[("c", false)], Named::Id, Yes), does(&["a:1", "b:1"], true));
    }

    #[test]
    fn repositories_of_names() {
        for (name, expected) in
            [("a:1", "a"), ("a", "a"), ("host:5000/a", "host:5000/a"), ("host:5000/a:1@sha256:0", "host:5000/a")]
        {
            assert_eq!(repository(name), expected);
        }
    }
}
