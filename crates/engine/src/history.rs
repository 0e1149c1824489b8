//! `history`: the steps that an image was made by, with what each added.

use stockade_images::Facts;

use crate::Engine;
use crate::image::{ImageLookup, found};

/// A step that an image was made by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryStep {
    /// The image's id at its newest step; nobody keeps the ids of the others.
    pub id: Option<String>,
    /// When, in RFC 3339, or whatever the image's maker wrote there.
    pub created: String,
    /// By which command.
    pub created_by: String,
    /// The bytes of its layer as it is kept; 0 if it made none.
    pub size: u64,
    /// What the image's maker noted.
    pub comment: String,
    /// The image's names at its newest step.
    pub tags: Vec<String>,
}

/// The steps of the image that `text` means, the newest first.
///
/// # Errors
/// If there is no such image, or it cannot be read.
pub fn history(engine: &Engine, text: &str) -> Result<Vec<HistoryStep>, ImageLookup> {
    let found = found(engine, text)?;
    let mut steps = steps(&found.facts, &found.stored.layers.iter().map(|layer| layer.blob.size).collect::<Vec<_>>());
    if let Some(newest) = steps.first_mut() {
        newest.id = Some(found.summary.id);
        newest.tags = found.summary.tags;
    }
    Ok(steps)
}

/// The steps, the newest first. A layer that no step tells of is one without a command, as images have them that were made
/// without a Dockerfile.
fn steps(facts: &Facts, layer_sizes: &[u64]) -> Vec<HistoryStep> {
    let mut sizes = layer_sizes.iter().copied();
    let told = facts.history.iter().map(|step| HistoryStep {
        id: None,
        created: step.created.clone(),
        created_by: step.created_by.clone(),
        size: if step.empty_layer { 0 } else { sizes.next().unwrap_or_default() },
        comment: step.comment.clone(),
        tags: Vec::new(),
    });
    let mut steps: Vec<HistoryStep> = told.collect();
    steps.extend(sizes.map(|size| HistoryStep {
        id: None,
        created: facts.created.clone(),
        created_by: String::new(),
        size,
        comment: String::new(),
        tags: Vec::new(),
    }));
    steps.reverse();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_go_with_the_steps_that_made_them() {
        let facts = Facts::parse(
            br#"{"created":"c","history":[{"created_by":"ADD"},{"created_by":"ENV","empty_layer":true},{"created_by":"RUN"}]}"#,
        )
        .unwrap();
        let shown = |sizes: &[u64]| -> Vec<(String, u64)> {
            steps(&facts, sizes).into_iter().map(|step| (step.created_by, step.size)).collect()
        };
        let step = |by: &str, size| (by.to_owned(), size);
        assert_eq!(shown(&[10, 20]), [step("RUN", 20), step("ENV", 0), step("ADD", 10)]);
        assert_eq!(shown(&[10]), [step("RUN", 0), step("ENV", 0), step("ADD", 10)]);
        assert_eq!(shown(&[1, 2, 3])[0], step("", 3));
        assert_eq!(steps(&Facts::default(), &[5]).len(), 1);
    }
}
