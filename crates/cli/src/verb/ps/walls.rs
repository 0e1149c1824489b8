//! `ps --walls`: what walls each container has, a line each.

use serde_json::{Value, json};
use stockade_engine::{Engine, Summary};
use stockade_kernel::chain::chain;
use stockade_lens::{Auditor, Picture};

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::say;
use crate::show::list::Look;
use crate::show::template::Filling;
use crate::verb::audit;

/// The columns that are shown when nobody asks for others.
pub(super) const USUAL: &str = "{{.ID}}\t{{.Names}}\t{{.Grade}}\t{{.Namespaces}}\t{{.Capabilities}}\t{{.NewPrivileges}}\t\
    {{.Seccomp}}\t{{.Label}}\t{{.Root}}\t{{.Limits}}\t{{.Weaker}}";

/// What stands over the columns.
fn heads() -> Value {
    json!({
        "ID": "CONTAINER ID",
        "Names": "NAMES",
        "Grade": "GRADE",
        "Namespaces": "OWN",
        "Capabilities": "CAPS",
        "NewPrivileges": "NEW PRIVS",
        "Seccomp": "SECCOMP",
        "Label": "LABEL",
        "Root": "ROOT",
        "Limits": "LIMITS",
        "Weaker": "WEAKER THAN ASKED",
    })
}

/// Shows those that run, in the same order. One that cannot be audited is left out, which is said, and does not keep the others from
/// being shown.
pub(super) fn show(engine: &Engine, look: &Look, shown: &[&Summary], whole: bool) -> Result<u8, Failure> {
    let auditor = Auditor::new().map_err(|error| Failure::failed(&error))?;
    let (mut rows, mut code) = (Vec::new(), SUCCESS);
    for one in shown.iter().filter(|one| one.pid.is_some()) {
        let audited =
            audit::container(engine, &one.id).and_then(|target| auditor.audit(&target).map_err(|error| chain(&error)));
        match audited {
            Ok(report) => {
                let id = if whole { one.id.as_str() } else { one.id.short() };
                rows.push(row(id, &one.name, &Picture::of(&report)));
            }
            Err(reason) => {
                say::error(&reason);
                code = FAILED;
            }
        }
    }
    let text = look.text(&rows, &heads()).map_err(|error| Failure::failed(&error))?;
    if !text.is_empty() {
        say::line(text.trim_end_matches('\n'))?;
    }
    Ok(code)
}

fn row(id: &str, name: &str, picture: &Picture) -> Filling {
    Filling::of(json!({
        "ID": id,
        "Names": name,
        "Grade": picture.grade,
        "Namespaces": picture.namespaces,
        "Capabilities": picture.capabilities,
        "NewPrivileges": picture.new_privileges,
        "Seccomp": picture.seccomp,
        "Label": picture.label,
        "Root": picture.root,
        "Limits": picture.limits,
        "Weaker": picture.weaker,
    }))
}
