//! `--restart`: when a container is started again.

use stockade_engine::RestartPolicy;

use super::{Invalid, invalid};

const FLAG: &str = "--restart";

/// Docker's grammar: `no`, `on-failure[:N]`, `always`, `unless-stopped`; empty is `no`.
pub(crate) fn policy(text: &str) -> Result<RestartPolicy, Invalid> {
    let (name, most) = text.split_once(':').map_or((text, None), |(name, most)| (name, Some(most)));
    match (name, most) {
        ("" | "no", None) => Ok(RestartPolicy::No),
        ("always", None) => Ok(RestartPolicy::Always),
        ("unless-stopped", None) => Ok(RestartPolicy::UnlessStopped),
        ("on-failure", None) => Ok(RestartPolicy::OnFailure { most: 0 }),
        ("on-failure", Some(most)) => match most.parse() {
            Ok(most) => Ok(RestartPolicy::OnFailure { most }),
            Err(_overflow) => Err(invalid(FLAG, text, "maximum retry count must be an integer of 0 or more")),
        },
        ("no" | "always" | "unless-stopped", Some(_)) => {
            Err(invalid(FLAG, text, "maximum retry count can only be used with 'on-failure'"))
        }
        _ => Err(invalid(FLAG, text, "no, on-failure[:N], always or unless-stopped")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_policies() {
        for (text, expected) in [
            ("", RestartPolicy::No),
            ("no", RestartPolicy::No),
            ("always", RestartPolicy::Always),
            ("unless-stopped", RestartPolicy::UnlessStopped),
            ("on-failure", RestartPolicy::OnFailure { most: 0 }),
            ("on-failure:3", RestartPolicy::OnFailure { most: 3 }),
        ] {
            assert_eq!(policy(text).unwrap(), expected, "{text}");
        }
        for text in ["never", "always:3", "no:0", "on-failure:", "on-failure:-1", "on-failure:x", "on-failure:1:2"] {
            assert!(policy(text).is_err(), "{text}");
        }
    }
}
