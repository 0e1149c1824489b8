//! `images`: the images in short.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use stockade_engine::ImageSummary;

use super::filter::{Condition, Filters};
use super::{parted, shown_id};
use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::list::{Columns, Look};
use crate::show::table::printable;
use crate::show::template::Filling;
use crate::show::{ago, size};

const USUAL: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const WITH_DIGESTS: &str = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

/// List images
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Accepted for Docker's sake (there are no intermediate images)
    #[arg(long, short)]
    all: bool,
    /// Show only ids
    #[arg(long, short)]
    quiet: bool,
    /// Show whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Show the digests that the images were pulled by
    #[arg(long)]
    digests: bool,
    /// Show only some: dangling=BOOL, label=KEY[=VALUE], before=IMAGE, since=IMAGE, until=TIME, reference=PATTERN
    #[arg(long, short, value_name = "KEY=VALUE")]
    filter: Vec<Condition>,
    /// table, json, or a Go template, such as 'table {{.ID}}\t{{.Size}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show only images with this name, or names that match this pattern
    #[arg(value_name = "REPOSITORY[:TAG]")]
    repository: Option<String>,
}

impl Ls {
    /// Prints the list.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let columns = match () {
            () if self.quiet => Columns::Quiet("{{.ID}}"),
            () if self.digests => Columns::Usual(WITH_DIGESTS),
            () => Columns::Usual(USUAL),
        };
        let look = Look::of(self.format.as_deref(), columns).map_err(|error| Failure::of(REFUSED, &error))?;
        let pattern = self.repository.map(Condition::Reference);
        let engine = global.engine()?;
        let filters = Filters::new(self.filter.into_iter().chain(pattern).collect(), &engine, Timestamp::now())?;
        let mut found = stockade_engine::list_images(&engine).map_err(|error| Failure::failed(&error))?;
        found.retain(|one| filters.take(one));
        found.iter_mut().for_each(|one| filters.narrow(one));
        let asks = self.digests || self.format.is_some_and(|format| format.contains(".Digest"));
        let digests = if asks { Digests::Shown } else { Digests::Hidden };
        let text = text(&look, &found, self.no_trunc, digests, Timestamp::now())?;
        if !text.is_empty() {
            say::line(text.trim_end_matches('\n'))?;
        }
        Ok(SUCCESS)
    }
}

/// Whether a name is shown once, or once for each of its digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digests {
    Shown,
    Hidden,
}

fn text(
    look: &Look,
    images: &[ImageSummary],
    whole: bool,
    digests: Digests,
    now: Timestamp,
) -> Result<String, Failure> {
    let names = images.iter().flat_map(|one| names(one, digests).into_iter().map(move |name| (one, name)));
    let rows: Vec<Filling> = names.map(|(one, name)| row(one, &name, whole, now)).collect();
    look.text(&rows, &heads()).map_err(|error| Failure::of(REFUSED, &error))
}

/// What Docker writes over the columns.
pub(crate) fn heads() -> Value {
    json!({
        "ID": "IMAGE ID",
        "Repository": "REPOSITORY",
        "Tag": "TAG",
        "Digest": "DIGEST",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "Size": "SIZE",
        "Containers": "CONTAINERS",
        "VirtualSize": "SIZE",
        "SharedSize": "SHARED SIZE",
        "UniqueSize": "UNIQUE SIZE",
    })
}

/// One line's name.
pub(crate) struct RowName {
    repository: String,
    tag: String,
    digest: String,
}

/// The lines of an image: one for each tag, one for a repository of which only a digest is known, or one without a name.
fn names(one: &ImageSummary, digests: Digests) -> Vec<RowName> {
    const NONE: &str = "<none>";
    let name = |repository: &str, tag: &str, digest: &str| RowName {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: digest.to_owned(),
    };
    let mut by_repository: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    for (repository, tag) in one.tags.iter().map(|tag| parted(tag)) {
        by_repository.entry(repository).or_default().0.push(tag);
    }
    for (repository, digest) in one.digests.iter().map(|digest| parted(digest)) {
        by_repository.entry(repository).or_default().1.push(digest);
    }
    let rows = by_repository.into_iter().flat_map(|(repository, (tags, known))| {
        let tags = if tags.is_empty() { vec![NONE] } else { tags };
        let known = if digests == Digests::Hidden || known.is_empty() { vec![NONE] } else { known };
        tags.into_iter().flat_map(move |tag| known.clone().into_iter().map(move |digest| name(repository, tag, digest)))
    });
    let rows: Vec<RowName> = rows.collect();
    if rows.is_empty() { vec![name(NONE, NONE, NONE)] } else { rows }
}

/// The fields of one line.
fn row(one: &ImageSummary, name: &RowName, whole: bool, now: Timestamp) -> Filling {
    let since = ago::since(&one.created, now).map_or_else(|| "N/A".to_owned(), |time| format!("{time} ago"));
    let size = size::human(one.size);
    Filling::of(json!({
        "ID": shown_id(&one.id, whole),
        "Repository": printable(&name.repository),
        "Tag": printable(&name.tag),
        "Digest": name.digest,
        "CreatedSince": since,
        "CreatedAt": ago::absolute(&one.created).unwrap_or_else(|| "N/A".to_owned()),
        "Size": size,
        "VirtualSize": size,
        "Containers": "N/A",
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
    }))
}

/// Images with their lines as `system df -v` shows them.
pub(crate) fn rows(images: &[ImageSummary], now: Timestamp) -> Vec<(&ImageSummary, Filling)> {
    let names = images.iter().flat_map(|one| names(one, Digests::Hidden).into_iter().map(move |name| (one, name)));
    names.map(|(one, name)| (one, row(one, &name, false, now))).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn image(tags: &[&str], digests: &[&str]) -> ImageSummary {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ImageSummary {
            id: format!("sha256:{}", "0123456789abcdef".repeat(4)),
            tags: owned(tags),
            digests: owned(digests),
            created: "2026-01-01T00:00:00Z".to_owned(),
            size: 1_234_567,
            labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            containers: 0,
        }
    }

    fn shown(format: &str, columns: Columns<'_>, digests: Digests) -> String {
        let images = [
            image(&["alpine:3.20", "host:5000/a/b:1"], &["alpine@sha256:aa"]),
            image(&[], &["busybox@sha256:bb"]),
            image(&[], &[]),
        ];
        let look = Look::of(Some(format), columns).unwrap();
        text(&look, &images, false, digests, "2026-01-15T00:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn dockers_columns() {
        let expected = "REPOSITORY      TAG       IMAGE ID       CREATED       SIZE\n\
                        alpine          3.20      0123456789ab   2 weeks ago   1.23MB\n\
                        host:5000/a/b   1         0123456789ab   2 weeks ago   1.23MB\n\
                        busybox         <none>    0123456789ab   2 weeks ago   1.23MB\n\
                        <none>          <none>    0123456789ab   2 weeks ago   1.23MB\n";
        assert_eq!(shown("", Columns::Usual(USUAL), Digests::Hidden), expected);
        let lines = shown("{{.Repository}}@{{.Digest}}", Columns::Usual(WITH_DIGESTS), Digests::Shown);
        assert_eq!(lines, "alpine@sha256:aa\nhost:5000/a/b@<none>\nbusybox@sha256:bb\n<none>@<none>\n");
        assert_eq!(shown("", Columns::Quiet("{{.ID}}"), Digests::Hidden).lines().count(), 4);
        assert_eq!(
            shown("{{.CreatedAt}}", Columns::Usual(USUAL), Digests::Hidden).lines().next(),
            Some("2026-01-01 00:00:00 +0000 UTC")
        );
    }
}
