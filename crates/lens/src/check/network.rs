//! Its network: interfaces, published ports, and sockets that no permissions guard.

use stockade_kernel::namespace::Namespaces;
use stockade_spec::NamespaceType;

use crate::exposure;
use crate::finding::{Sheet, Wall};
use crate::scene::{Scene, text, told};

/// Check 24.
pub(super) fn look(scene: &Scene<'_>, sheet: &mut Sheet) {
    let shared = scene.shares(Namespaces::NET);
    let found = match told(scene.procfs.read(scene.subject(), "net/dev")) {
        Ok(found) => interfaces(&found),
        Err(why) => return sheet.unchecked("interfaces", None, why),
    };
    let names = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    if shared {
        let wanted = scene.asked.map(|asked| asked.namespace(NamespaceType::Network).is_some());
        let asked = wanted.map(|own| if own { "its own" } else { "the host's" }.to_owned());
        let wall = Wall { wanted, asked, found: format!("the host's: {names}"), stands: false };
        sheet.judge("interfaces", wall).exposing([exposure::HOST_NETWORK]);
    } else {
        sheet.holds("interfaces", None, names);
    }
    match scene.ports {
        Some(addresses) => {
            let everywhere: Vec<&str> = addresses
                .iter()
                .map(String::as_str)
                .filter(|one| one.starts_with("0.0.0.0") || one.starts_with("[::]"))
                .collect();
            if everywhere.is_empty() {
                let found = if addresses.is_empty() { "none".to_owned() } else { addresses.join(", ") };
                sheet.holds("published ports", None, found);
            } else {
                let finding = sheet.absent("published ports", Some(addresses.join(", ")), everywhere.join(", "));
                finding.exposing([exposure::PUBLISHED_PORT]);
            }
        }
        None if shared => sheet.unchecked("published ports", None, "its ports are the host's"),
        None if found.iter().all(|name| name == "lo") => {
            sheet.holds("published ports", None, "none");
        }
        None => sheet.unchecked("published ports", None, "only the engine that publishes them knows"),
    }
}

/// The names in `/proc/PID/net/dev`: those of the lines with a colon.
fn interfaces(content: &[u8]) -> Vec<String> {
    let lines = content.split(|byte| *byte == b'\n');
    let names = lines.filter_map(|line| {
        let end = line.iter().position(|byte| *byte == b':')?;
        Some(text(line[..end].trim_ascii()))
    });
    names.collect()
}

/// Check 26.
pub(super) fn abstract_sockets(scene: &Scene<'_>, sheet: &mut Sheet) {
    const PART: &str = "abstract sockets";
    let content = match told(scene.procfs.read(scene.subject(), "net/unix")) {
        Ok(content) => content,
        Err(why) => return sheet.unchecked(PART, None, why),
    };
    let found = abstract_names(&content);
    if !scene.shares(Namespaces::NET) {
        sheet.holds(PART, None, format!("{} of its own network", found.len()));
        return;
    }
    let wanted = scene.asked.map(|asked| asked.namespace(NamespaceType::Network).is_some());
    let asked = wanted.map(|own| if own { "none of the host's" } else { "the host's" }.to_owned());
    let wall = Wall { wanted, asked, found: format!("{} of the host's", found.len()), stands: found.is_empty() };
    let finding = sheet.judge(PART, wall);
    if !found.is_empty() {
        let named: Vec<String> = found.into_iter().take(5).collect();
        finding.because(named.join(", ")).exposing([exposure::ABSTRACT_SOCKETS]);
    }
}

/// The abstract names in `/proc/PID/net/unix`, where they begin with `@`; each once.
fn abstract_names(content: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = content
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            String::from_utf8_lossy(line).split_ascii_whitespace().nth(7).map(|name| text(name.as_bytes()))
        })
        .filter(|name| name.starts_with('@'))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interfaces_and_sockets() {
        let dev = b"Inter-|   Receive\n face |bytes\n    lo: 0 0\n  eth0: 1 2\n";
        assert_eq!(interfaces(dev), ["lo", "eth0"]);
        let unix = b"Num RefCount Protocol Flags Type St Inode Path\n\
            0: 00000002 00000000 00010000 0001 01 17 /run/x\n0: 00000002 00000000 00010000 0001 01 18 @a/b\n\
            0: 00000002 00000000 00010000 0001 01 19\n0: 00000003 00000000 00000000 0001 03 20 @a/b\n";
        assert_eq!(abstract_names(unix), ["@a/b"]);
    }
}
