//! `list`: all containers of this root folder.

use super::Context;
use super::state::{Shown, StateError, state};
use crate::store::{ContainerId, StoreError};

/// All containers that are there when they are looked at, sorted by id.
///
/// # Errors
/// [`StateError`]; a container that goes away meanwhile is left out.
pub fn list(context: &Context) -> Result<Vec<Shown>, StateError> {
    let mut found = Vec::new();
    for id in context.store.ids()? {
        match state(context, &id) {
            Ok(Some(shown)) => found.push(shown),
            Ok(None) | Err(StateError::Store(StoreError::Missing(_))) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The ids of all containers, sorted, damaged ones too.
///
/// # Errors
/// [`StoreError`].
pub fn ids(context: &Context) -> Result<Vec<ContainerId>, StoreError> {
    context.store.ids()
}

/// The list as a table.
#[must_use]
pub fn table(list: &[Shown]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let row = |one: &Shown| {
        let bundle = one.bundle.display().to_string();
        [
            one.id.to_string(),
            one.pid.to_string(),
            one.status.as_str().to_owned(),
            bundle,
            one.created.clone(),
            one.owner.clone(),
        ]
    };
    let rows: Vec<_> = std::iter::once(head).chain(list.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0) + 4;
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_spec::ContainerStatus;

    #[test]
    fn columns_stand_below_each_other() {
        let one = |id: &str, pid| Shown {
            oci_version: stockade_spec::VERSION,
            id: id.parse().unwrap(),
            pid,
            status: ContainerStatus::Running,
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: "then".to_owned(),
            annotations: Default::default(),
            owner: "root".to_owned(),
        };
        let text = table(&[one("a", 7), one("a-much-longer-id", 12345)]);
        let lines: Vec<&str> = text.lines().collect();
        let column = |name: &str| lines[0].find(name).unwrap();
        assert!(
            lines[1][column("PID")..].starts_with("7 ") && lines[2][column("PID")..].starts_with("12345 "),
            "{text}"
        );
        assert!(lines.iter().skip(1).all(|line| line[column("OWNER")..] == *"root"), "{text}");
        assert_eq!(table(&[]).lines().count(), 1);
    }
}
