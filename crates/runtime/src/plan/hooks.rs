//! `hooks`: programs of the host, checked before any of them runs.

use stockade_spec::{Hook, Hooks};

use super::PlanError;
use super::error::{absolute, without_nul};

/// Checks all six lists.
pub(super) fn plan(hooks: Option<&Hooks>) -> Result<Hooks, PlanError> {
    let hooks = hooks.cloned().unwrap_or_default();
    let lists = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (name, list) in lists {
        for (index, hook) in list.iter().enumerate() {
            check(&format!("hooks.{name}[{index}]"), hook)?;
        }
    }
    Ok(hooks)
}

/// Checks one hook.
fn check(path: &str, hook: &Hook) -> Result<(), PlanError> {
    absolute(&format!("{path}.path"), &hook.path)?;
    for (index, argument) in hook.args.iter().enumerate() {
        without_nul(&format!("{path}.args[{index}]"), argument)?;
    }
    environment(&format!("{path}.env"), &hook.env)?;
    match hook.timeout {
        Some(timeout) if timeout <= 0 => Err(PlanError::invalid(format!("{path}.timeout"), timeout, "above 0 seconds")),
        _ => Ok(()),
    }
}

/// Checks that every entry is `NAME=VALUE`.
pub(super) fn environment(path: &str, entries: &[String]) -> Result<(), PlanError> {
    for (index, entry) in entries.iter().enumerate() {
        let named = entry.split_once('=').is_some_and(|(name, _)| !name.is_empty());
        if !named || entry.contains('\0') {
            return Err(PlanError::invalid(format!("{path}[{index}]"), entry, "NAME=VALUE without NUL"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_a_program_of_the_host() {
        let good = Hook { path: "/bin/true".into(), timeout: Some(1), ..Hook::default() };
        for (wrong, field) in [
            (Hook { path: "true".into(), ..good.clone() }, "path"),
            (Hook { path: "/a\0".into(), ..good.clone() }, "path"),
            (Hook { timeout: Some(0), ..good.clone() }, "timeout"),
            (Hook { timeout: Some(-5), ..good.clone() }, "timeout"),
            (Hook { args: vec!["a".into(), "\0".into()], ..good.clone() }, "args[1]"),
            (Hook { env: vec!["=x".into()], ..good.clone() }, "env[0]"),
        ] {
            let hooks = Hooks { poststart: vec![good.clone(), wrong], ..Hooks::default() };
            assert_eq!(plan(Some(&hooks)).unwrap_err().path(), format!("hooks.poststart[1].{field}"));
        }
        assert!(plan(Some(&Hooks { prestart: vec![good], ..Hooks::default() })).is_ok());
    }
}
