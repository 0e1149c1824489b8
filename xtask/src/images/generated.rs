//! Images that are made by a rule ([`stockade_testkit::generated`]), as layouts only.

use std::path::Path;

use stockade_testkit::generated;

/// Changes when a rule does.
const RECIPE: &str = "1";

/// An image: its name, and what makes it.
type Generated = (&'static str, fn(&Path) -> String);

/// Those that are not made anew by every test.
const IMAGES: [Generated; 3] = [
    ("layers", |folder| generated::layers(folder, 100)),
    ("files", |folder| generated::files(folder, 50_000)),
    ("large", |folder| generated::large(folder, 1 << 30)),
];

/// Makes `NAME/oci` below `images`, unless it is there.
///
/// # Errors
/// If it cannot be made, or the name is none.
pub(crate) fn make(images: &Path, name: &str) -> Result<(), String> {
    let image = images.join(name);
    if std::fs::read_to_string(image.join("recipe")).is_ok_and(|made| made == RECIPE) {
        return Ok(());
    }
    let (_, recipe) = IMAGES.iter().find(|(known, _)| *known == name).ok_or(format!("no image is called {name}"))?;
    let say = |error: std::io::Error| format!("{}: {error}", image.display());
    let new = images.join(format!("{name}.new"));
    for old in [&image, &new] {
        if old.exists() {
            std::fs::remove_dir_all(old).map_err(say)?;
        }
    }
    recipe(&new.join("oci"));
    std::fs::write(new.join("recipe"), RECIPE).map_err(say)?;
    std::fs::rename(&new, &image).map_err(say)
}
