//! Every hostile image of the kit ([`stockade_testkit::hostile`]), run by the engine: none reads, writes, changes or makes
//! anything outside, none has other walls than a harmless image, none crashes the engine or eats its memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stockade_testkit::hostile::{CLASSES, Expected, Kind, Layout, Server};
use stockade_testkit::tree::{Facts, differences, stamps};
use stockade_testkit::walls::{Walls, around};
use stockade_testkit::{Call, Finished, Stockade, cgroup, programs, requires};

/// What the engine may have at most, with all its helpers.
const MEMORY: &str = "268435456";

/// Files of the host that attacks of this kind have changed.
const HOST: [&str; 12] = [
    "/etc/passwd",
    "/etc/shadow",
    "/etc/group",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/ld.so.preload",
    "/etc/crontab",
    "/root/.ssh",
    "/bin/sh",
    "/usr/bin/env",
    "/var/spool/cron",
];

/// Of which a layout has two and a registry the one that is asked for.
const ONE_OF_TWO: [&str; 1] = ["two images with one name"];

/// The engine, a memory group around it, and a folder that nobody may touch.
struct Range {
    stockade: Stockade,
    group: PathBuf,
    canary: PathBuf,
    usual: RefCell<BTreeMap<Vec<String>, Walls>>,
}

impl Range {
    fn new(class: &str) -> Self {
        let stockade = Stockade::new();
        let canary = stockade.folder().join("canary");
        std::fs::create_dir_all(canary.join("folder")).unwrap();
        for (name, mode) in [("secret", 0o600), ("folder/file", 0o640), ("program", 0o755)] {
            std::fs::write(canary.join(name), "secret-user:x:0:0::/:/bin/sh\n").unwrap();
            std::fs::set_permissions(canary.join(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        let group = cgroup::folder("memory", &format!("stockade-test-{class}-{}", std::process::id()));
        std::fs::create_dir(&group).unwrap();
        let limit = if cgroup::is_v1("memory") { "memory.limit_in_bytes" } else { "memory.max" };
        std::fs::write(group.join(limit), MEMORY).unwrap();
        Self { stockade, group, canary, usual: RefCell::default() }
    }

    /// A call of the engine in the memory group.
    fn call(&self, arguments: &[&str], flags: &[&str], image: &str, command: &[&str]) -> Finished {
        let script = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
        let call = Call::new("sh").args(["-c", script]).arg(&self.group).args(self.stockade.command_line());
        call.args(arguments).args(flags).arg(image).args(command).run()
    }

    /// The walls of a container that does nothing.
    fn walls(&self, flags: &[&str], image: &str) -> Result<Walls, String> {
        let done = self.call(&["run", "-d"], flags, image, &["/bin/busybox", "sleep", "1000"]);
        if done.code() != 0 {
            return Err(format!("is harmless and does not run: {done:?}"));
        }
        let id = self.stockade.know(done.out());
        let walls = around(self.stockade.pid(&id), &id);
        self.stockade.ask(&["stop", "-t", "0", &id]).either_way();
        self.stockade.ask(&["rm", "-f", &id]).ok();
        Ok(walls)
    }

    /// Those of the harmless image with the same flags.
    fn usual(&self, flags: &[&str]) -> Walls {
        let key: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        if let Some(known) = self.usual.borrow().get(&key) {
            return known.clone();
        }
        let walls = self.walls(flags, self.stockade.image()).unwrap();
        self.usual.borrow_mut().insert(key, walls.clone());
        walls
    }

    /// What must stay as it is.
    fn outside(&self) -> Facts {
        let mut all = stamps(&self.canary).unwrap();
        for path in HOST {
            let found = stamps(Path::new(path)).into_iter().flatten();
            all.extend(found.map(|(name, fact)| (Path::new(path).join(name), fact)));
        }
        for name in ["stockade", "stockade-dns", "stockade-monitor", "stockade-unpack", "stake"] {
            all.extend(stamps(&programs::built(name)).unwrap().into_values().map(|fact| (name.into(), fact)));
        }
        // Another test lends the null device another mode for a moment; devices change their times when they are written.
        for name in ["null", "zero", "console", "tty", "full", "random"] {
            use std::os::unix::fs::MetadataExt;
            if let Ok(data) = std::fs::symlink_metadata(Path::new("/dev").join(name)) {
                let mode = data.mode() & 0o170_777;
                let fact = format!("{} {mode:o} {}:{} {}", data.ino(), data.uid(), data.gid(), data.rdev());
                all.insert(Path::new("/dev").join(name), fact);
            }
        }
        for name in ["core_pattern", "modprobe", "hostname"] {
            let text = std::fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).unwrap_or_default();
            all.insert(Path::new("/proc/sys/kernel").join(name), text);
        }
        all
    }

    /// What is wrong with the engine's treatment of `kind`.
    fn judge(&self, kind: &Kind) -> Vec<String> {
        let folder = self.stockade.folder().join("image");
        let mut layout = Layout::on_busybox(&folder, &self.canary);
        (kind.make)(&mut layout);
        let image = layout.finish();
        let before = self.outside();
        let mut wrong = match kind.expected {
            Expected::NotUnpacked(words) | Expected::Refused(words) => self.refused(kind, &image, words),
            Expected::Contained => self.contained(kind, &image),
            Expected::Harmless => self.harmless(kind, &layout, &image),
            Expected::Says(script, answer) => {
                let done = self.call(&["run", "--rm"], kind.flags, &image, &["/bin/busybox", "sh", "-c", script]);
                let mut wrong = self.harmless(kind, &layout, &image);
                if done.out().replace('\r', "") != answer {
                    wrong.push(format!("says something else than {answer:?}: {done:?}"));
                }
                wrong
            }
        };
        wrong.extend(differences(&before, &self.outside()).into_iter().map(|line| format!("changed outside: {line}")));
        wrong.extend(self.left(kind, &layout));
        wrong.extend(self.judge_pulled(kind, &layout, &before));
        std::fs::remove_dir_all(&folder).unwrap();
        for id in self.stockade.ids() {
            self.stockade.ask(&["rm", "-f", &id]).ok();
        }
        wrong
    }

    /// The same image from a registry. What is refused there may be refused for another reason, by the pull or by the run.
    fn judge_pulled(&self, kind: &Kind, layout: &Layout, before: &Facts) -> Vec<String> {
        let server = Server::of(layout.folder());
        let image = format!("{}/hostile:latest", server.address());
        let pulled = self.call(&["pull", "-q"], &[], &image, &[]);
        let mut wrong = match kind.expected {
            _ if pulled.code() == 0 => self.judge_stored(kind, layout, &image),
            Expected::Harmless | Expected::Says(..) => vec![format!("is harmless and not pulled: {pulled:?}")],
            _ if pulled.code() == 1 => unprintable(&pulled),
            _ => vec![format!("does not end with an error: {pulled:?}")],
        };
        wrong.extend(differences(before, &self.outside()).into_iter().map(|line| format!("changed outside: {line}")));
        wrong.extend(self.left(kind, layout));
        wrong.into_iter().map(|wrong| format!("pulled: {wrong}")).collect()
    }

    /// The image that was pulled.
    fn judge_stored(&self, kind: &Kind, layout: &Layout, image: &str) -> Vec<String> {
        match kind.expected {
            Expected::Harmless | Expected::Says(..) => self.harmless(kind, layout, image),
            Expected::Contained => self.contained(kind, image),
            _ if ONE_OF_TWO.contains(&kind.name) => self.contained(kind, image),
            Expected::NotUnpacked(_) => vec!["was pulled".to_owned()],
            Expected::Refused(words) => self.refused(kind, image, words),
        }
    }

    fn refused(&self, kind: &Kind, image: &str, words: &[&str]) -> Vec<String> {
        let done = self.call(&["run", "--rm"], kind.flags, image, &["/bin/busybox", "true"]);
        let mut wrong = Vec::new();
        let said = done.stderr.to_lowercase();
        if !(125..=127).contains(&done.code()) || said.contains("panicked at") {
            wrong.push(format!("does not end with an error: {done:?}"));
        }
        if !words.iter().any(|word| said.contains(&word.to_lowercase())) {
            wrong.push(format!("names none of {words:?}: {done:?}"));
        }
        wrong.extend(unprintable(&done));
        if !self.stockade.ids().is_empty() {
            wrong.push("a container is left".to_owned());
        }
        wrong
    }

    fn contained(&self, kind: &Kind, image: &str) -> Vec<String> {
        let done = self.call(&["run", "--rm"], kind.flags, image, &["/bin/busybox", "true"]);
        let crashed = done.code() > 127 || done.stderr.contains("panicked at");
        if crashed { vec![format!("crashes: {done:?}")] } else { Vec::new() }
    }

    fn harmless(&self, kind: &Kind, layout: &Layout, image: &str) -> Vec<String> {
        let walls = match self.walls(kind.flags, image) {
            Ok(walls) => walls,
            Err(message) => return vec![message],
        };
        let mut flags = kind.flags.to_vec();
        if let Some(user) = layout.config["config"]["User"].as_str() {
            flags.extend(["-u", user]);
        }
        let usual = self.usual(&flags);
        let different = usual.iter().filter(|(name, wall)| walls.get(*name) != Some(*wall));
        different.map(|(name, wall)| format!("{name} differ:\n{wall}\n--- and not\n{}", walls[name])).collect()
    }

    /// What is in the store and should not be.
    fn left(&self, kind: &Kind, layout: &Layout) -> Vec<String> {
        let names = |folder: &str| {
            let entries = std::fs::read_dir(self.stockade.data().join("layers").join(folder)).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        let mut wrong = Vec::new();
        if !names("unpacking").is_empty() {
            wrong.push("a layer is left half-unpacked".to_owned());
        }
        let topmost = layout.config["rootfs"]["diff_ids"].as_array().and_then(|all| all.last()?.as_str());
        let topmost = topmost.unwrap_or_default().trim_start_matches("sha256:").to_owned();
        if matches!(kind.expected, Expected::NotUnpacked(_)) && names("sha256").contains(&topmost) {
            wrong.push("the layer is there".to_owned());
        }
        wrong
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        let removed = std::fs::remove_dir(&self.group);
        assert!(removed.is_ok() || std::thread::panicking(), "{}: {removed:?}", self.group.display());
    }
}

/// What is wrong with the message of an error.
fn unprintable(done: &Finished) -> Vec<String> {
    let said = &done.stderr;
    let long = said.lines().count() > 4 || said.contains("panicked at");
    let bad = long || said.contains(|letter: char| letter.is_control() && letter != '\n');
    if bad { vec![format!("is no line that can be printed: {done:?} {said:?}")] } else { Vec::new() }
}

/// Judges all kinds of a class.
fn class(name: &str) {
    let range = Range::new(name);
    let (_, kinds) = CLASSES.iter().find(|(class, _)| *class == name).unwrap();
    let mut text = String::new();
    for kind in *kinds {
        for wrong in range.judge(kind) {
            text += &format!("\n== {} ({}): {wrong}", kind.name, kind.source);
        }
    }
    assert!(text.is_empty(), "{text}");
}

macro_rules! classes {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                requires!(root, stockade, busybox_packed);
                class(stringify!($name));
            }
        )+

        #[test]
        fn every_class_is_judged() {
            let judged: Vec<&str> = vec![$(stringify!($name)),+];
            let all: Vec<&str> = CLASSES.iter().map(|(name, _)| *name).collect();
            assert_eq!(judged, all);
        }
    };
}

classes! { names links entries attributes archives documents configs roots }
