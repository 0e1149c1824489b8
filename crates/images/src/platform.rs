//! Operating system and processor that an image is for, in OCI's words (which are Go's), normalised and matched as containerd
//! does (github.com/containerd/platforms).

use std::fmt;
use std::str::FromStr;

/// The longest word of a platform that is read.
const LONGEST: usize = 64;

/// `OS/ARCHITECTURE[/VARIANT]`, normalised: `linux/amd64`, `linux/arm/v7`. Where a variant is the architecture's usual one
/// (`v1` of amd64, `v8` of arm64) it is left out, but for arm, whose usual variant is `v7`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: String,
}

/// Why a text is not a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// Not one to three words of letters, digits and `_.-`.
    #[error("`{}` is not a platform: it is OS/ARCHITECTURE[/VARIANT], as in linux/arm64", .0.escape_debug())]
    Form(String),
    /// One word that is neither an operating system nor an architecture.
    #[error("`{}` is neither an operating system nor a processor: a platform is OS/ARCHITECTURE[/VARIANT]", .0.escape_debug())]
    Unknown(String),
}

/// The operating systems of Go that may stand alone.
const SYSTEMS: [&str; 5] = ["darwin", "freebsd", "linux", "solaris", "windows"];
/// The architectures of Go that may stand alone.
const ARCHITECTURES: [&str; 13] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64",
    "s390x",
];

impl Platform {
    /// The platform of these words, as an index or a configuration has them; the variant may be empty.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let os = os.to_ascii_lowercase();
        let os = if os == "macos" { "darwin".to_owned() } else { os };
        let (architecture, variant) = normalised(&architecture.to_ascii_lowercase(), &variant.to_ascii_lowercase());
        Self { os, architecture, variant }
    }

    /// The platform of this machine: what its kernel runs by itself.
    #[must_use]
    pub fn machine() -> Self {
        Self::new("linux", crate::config::machine(), "")
    }

    /// The operating system.
    #[must_use]
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The processor's architecture.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The variant of the architecture; empty where it is the usual one.
    #[must_use]
    pub fn variant(&self) -> &str {
        &self.variant
    }

    /// How well an image for `image` suits where `self` is wanted: 0 is best, `None` does not run. Older variants run on newer
    /// ones, 386 on amd64 and arm on arm64.
    #[must_use]
    pub fn rank(&self, image: &Self) -> Option<usize> {
        self.runs().iter().position(|one| one == image)
    }

    /// All that runs on this platform, best first.
    fn runs(&self) -> Vec<Self> {
        let of = |architecture: &str, variant: &str| Self::new(&self.os, architecture, variant);
        let number = |variant: &str| variant.strip_prefix('v').and_then(|digits| digits.parse::<u32>().ok());
        let mut all = vec![self.clone()];
        // More than that no processor has, and the number comes from the user or the image.
        let level = number(&self.variant).filter(|level| *level <= 16);
        match self.architecture.as_str() {
            "amd64" => {
                all.extend((1..level.unwrap_or(1)).rev().map(|level| of("amd64", &format!("v{level}"))));
                all.push(of("386", ""));
            }
            "arm" => all.extend((5..level.unwrap_or(0)).rev().map(|level| of("arm", &format!("v{level}")))),
            "arm64" => {
                all.extend((8..level.unwrap_or(0)).rev().map(|level| of("arm64", &format!("v{level}"))));
                all.extend((5..=8).rev().map(|level| of("arm", &format!("v{level}"))));
            }
            _ => {}
        }
        all
    }
}

/// containerd's names for what other programs name otherwise.
fn normalised(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = match (architecture, variant) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1" | "1") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// One word is an operating system or an architecture, and the rest is this machine's.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let word = |word: &str| {
            let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            !word.is_empty() && word.len() <= LONGEST && word.bytes().all(fine)
        };
        let words: Vec<&str> = text.split('/').collect();
        if !words.iter().all(|one| word(one)) {
            return Err(PlatformError::Form(text.chars().take(LONGEST).collect()));
        }
        match words[..] {
            [one] => {
                let machine = Self::machine();
                let system = Self::new(one, &machine.architecture, &machine.variant);
                let processor = Self::new(&machine.os, one, "");
                if SYSTEMS.contains(&system.os.as_str()) {
                    Ok(system)
                } else if ARCHITECTURES.contains(&processor.architecture.as_str()) {
                    Ok(processor)
                } else {
                    Err(PlatformError::Unknown(one.to_owned()))
                }
            }
            [os, architecture] => Ok(Self::new(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::new(os, architecture, variant)),
            _ => Err(PlatformError::Form(text.chars().take(LONGEST).collect())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(formatter, "/{}", self.variant) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn other_names_are_normalised() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/i386", "linux/386"),
            ("arm64", "linux/arm64"),
            ("s390x", "linux/s390x"),
            ("windows/amd64", "windows/amd64"),
            ("macos/arm64", "darwin/arm64"),
        ] {
            assert_eq!(platform(text).to_string(), shown, "{text}");
            assert_eq!(platform(shown).to_string(), shown);
        }
        assert_eq!(platform("linux"), Platform::machine());
    }

    #[test]
    fn what_is_no_platform_is_refused() {
        let long = "a".repeat(65);
        for text in ["", "/", "linux/", "linux//v7", "linux/arm/v7/x", "linux/a b", "linux/\u{e9}", "vax", &long] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_nearest_of_what_runs_is_best() {
        let rank = |wanted: &str, image: &str| platform(wanted).rank(&platform(image));
        assert_eq!(rank("linux/amd64", "linux/amd64"), Some(0));
        assert_eq!(rank("linux/amd64", "linux/386"), Some(1));
        assert_eq!(rank("linux/amd64", "linux/amd64/v2"), None);
        assert_eq!(rank("linux/amd64/v3", "linux/amd64/v2"), Some(1));
        assert_eq!(rank("linux/amd64/v3", "linux/amd64"), Some(2));
        assert_eq!(rank("linux/386", "linux/amd64"), None);
        assert_eq!(rank("linux/arm64", "linux/arm64/v8"), Some(0));
        assert_eq!(rank("linux/arm64/v9", "linux/arm64"), Some(1));
        assert_eq!(rank("linux/arm64", "linux/arm/v8"), Some(1));
        assert_eq!(rank("linux/arm64", "linux/arm/v7"), Some(2));
        assert_eq!(rank("linux/arm/v7", "linux/arm/v6"), Some(1));
        assert_eq!(rank("linux/arm/v6", "linux/arm/v7"), None);
        assert_eq!(rank("linux/amd64", "windows/amd64"), None);
        assert_eq!(rank("linux/amd64", "unknown/unknown"), None);
        assert_eq!(rank("linux/amd64/v4000000000", "linux/amd64"), None);
    }
}
