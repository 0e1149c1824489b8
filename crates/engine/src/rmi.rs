//! `rmi`: takes names from images, and removes images that nobody needs.

mod plan;

use stockade_images::{ContentError, Images, Name, StoredImage};
use stockade_monitor::events::ImageAction;

use crate::Engine;
use crate::garbage::{GarbageError, collect};
use crate::image::{ImageLookup, found, images};
use crate::ps::{Which, list};
use plan::{Known, Named, Plan, User};

/// Whether what only warns is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForceImage {
    /// An image that stopped containers were made from, or that has several names, is refused.
    No,
    /// Only what runs keeps its image.
    Yes,
}

/// Why an image stays, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Its last name would go while a container was made from it.
    #[error(
        "conflict: unable to remove repository reference {name:?} (must force) - container {container} is using its \
         referenced image {image}"
    )]
    LastName {
        /// The name.
        name: String,
        /// The container.
        container: String,
        /// The image.
        image: String,
    },
    /// A container that was made from it runs.
    #[error(
        "conflict: unable to delete {image} (cannot be forced) - image is being used by running container {container}"
    )]
    Running {
        /// The image.
        image: String,
        /// The container.
        container: String,
    },
    /// A container was made from it.
    #[error(
        "conflict: unable to delete {image} (must be forced) - image is being used by stopped container {container}"
    )]
    Stopped {
        /// The image.
        image: String,
        /// The container.
        container: String,
    },
    /// It was named by its id and has several names.
    #[error("conflict: unable to delete {image} (must be forced) - image is referenced in multiple repositories")]
    Repositories {
        /// The image.
        image: String,
    },
}

/// What went with a removal, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// A name, in Docker's short form.
    Untagged(String),
    /// An image, by its id.
    Deleted(String),
}

/// Why an image stays.
#[derive(Debug, thiserror::Error)]
pub enum RemoveImageError {
    /// The image.
    #[error(transparent)]
    Lookup(#[from] ImageLookup),
    /// Somebody needs it.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The store.
    #[error("cannot remove image {image}")]
    Content {
        /// The image.
        image: String,
        /// Why not.
        source: ContentError,
    },
    /// It is removed, and its content stays until the next removal.
    #[error(transparent)]
    Garbage(#[from] GarbageError),
}

impl RemoveImageError {
    /// Whether there is no such image.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Lookup(lookup) if lookup.is_missing())
    }

    /// Whether somebody needs it.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

/// Removes the image that `text` means, or the name that it is, by Docker's rules; the layers that a container stands on stay
/// as long as it does.
///
/// # Errors
/// See [`RemoveImageError`].
pub fn remove_image(engine: &Engine, text: &str, force: ForceImage) -> Result<Vec<Gone>, RemoveImageError> {
    let images = images(engine).map_err(ImageLookup::from)?;
    let gone = {
        // Nobody takes its content for garbage between the look and the removal.
        let _share = images.share().map_err(ImageLookup::from)?;
        let found = found(engine, text)?;
        let users = users(engine, &found.summary.id)?;
        let known = Known {
            id: short(&found.summary.id),
            tags: &found.summary.tags,
            digests: &found.summary.digests,
            users: &users,
        };
        let name = name(&found.stored, text);
        let familiar = name.as_ref().map(Name::familiar);
        let plan = plan::plan(&known, familiar.as_deref().map_or(Named::Id, Named::Name), force)?;
        let gone = carry_out(&images, &found.stored, &plan)
            .map_err(|source| RemoveImageError::Content { image: short(&found.summary.id).to_owned(), source })?;
        (found.summary.id, gone)
    };
    for one in &gone.1 {
        match one {
            Gone::Untagged(name) => engine.happened_to_image(ImageAction::Untag, &gone.0, name),
            Gone::Deleted(id) => engine.happened_to_image(ImageAction::Delete, id, id),
        }
    }
    collect(engine, &images)?;
    Ok(gone.1)
}

/// Does what was planned, and tells it.
fn carry_out(images: &Images, image: &StoredImage, plan: &Plan) -> Result<Vec<Gone>, ContentError> {
    if plan.delete {
        let removed = images.remove_image(&image.id)?;
        let names = removed.untagged.iter().map(|name| Gone::Untagged(name.familiar()));
        let deleted = removed.deleted.iter().map(|id| Gone::Deleted(id.to_string()));
        return Ok(names.chain(deleted).collect());
    }
    let mut gone = Vec::new();
    for name in image.names.iter().chain(&image.repo_digests) {
        if plan.untag.contains(&name.familiar()) {
            images.untag(name)?;
            gone.push(Gone::Untagged(name.familiar()));
        }
    }
    Ok(gone)
}

/// The name of `image` that `text` is, `None` if it is an id.
fn name(image: &StoredImage, text: &str) -> Option<Name> {
    let name = Name::parse(text).ok()?;
    let name = match name.digest() {
        Some(digest) => name.repository().with_digest(digest),
        None => name.tag_or_latest(),
    };
    (image.names.contains(&name) || image.repo_digests.contains(&name)).then_some(name)
}

/// The containers that were made from the image `id`.
fn users(engine: &Engine, id: &str) -> Result<Vec<User>, ImageLookup> {
    let all = list(engine, Which::All)?.into_iter().filter(|one| one.image_id.as_deref() == Some(id));
    let user = |one: crate::Summary| User { id: one.id.short().to_owned(), running: one.state.is_up() };
    Ok(all.map(user).collect())
}

/// The first digits of an image's id.
fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}
