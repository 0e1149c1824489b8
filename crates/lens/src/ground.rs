//! What audits of one machine have in common, read or computed once for all of them.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use rustix::fs::{Dir, OFlags};
use stockade_cgroups::Layout;
use stockade_cgroups::observe::Observer;
use stockade_kernel::mount::info::{self, Mount};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_namespaces::{self as namespaces, Observed};
use stockade_seccomp::model::Filter;
use stockade_seccomp::{Compiled, Profile, Target};

use crate::audit::AuditError;
use crate::check::{Open, Ways};
use crate::finding::Finding;
use crate::scene::{Read, text, told};

/// The processes of each pid namespace, which is named as its link is.
type Processes = BTreeMap<Vec<u8>, Vec<i32>>;

/// A filter with its program.
#[derive(Debug)]
pub(crate) struct Filtered {
    pub(crate) filter: Filter,
    /// Or why it cannot be loaded.
    pub(crate) compiled: Result<Compiled, String>,
    /// What of [`Ground::ways`] it lets through.
    pub(crate) open: OnceCell<Open>,
}

/// The machine.
pub(crate) struct Ground {
    pub(crate) procfs: Procfs,
    /// The namespaces of whoever audits: the host's.
    pub(crate) host: Observed,
    pub(crate) host_mounts: Vec<Mount>,
    pub(crate) groups: Read<Observer>,
    /// What the host's kernel says of itself ([`crate::check`]).
    pub(crate) kernel: OnceCell<Vec<Finding>>,
    /// What happens with a crash: `core_pattern`.
    crashes: OnceCell<String>,
    /// The disks of the host: name, major and minor number.
    disks: OnceCell<Vec<(String, u32, u32)>>,
    /// The calls that are put to filters.
    pub(crate) ways: OnceCell<Ways>,
    processes: OnceCell<Read<Processes>>,
    filters: RefCell<BTreeMap<String, Result<Rc<Filtered>, String>>>,
}

impl Ground {
    /// Reads it.
    ///
    /// # Errors
    /// If what everybody may read cannot be read.
    pub(crate) fn read() -> Result<Self, AuditError> {
        let procfs = Procfs::host().map_err(AuditError::Procfs)?;
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let failed = |what: &'static str| move |source: std::io::Error| AuditError::Read { pid, what, source };
        let host = namespaces::observe(&procfs, Subject::Myself).map_err(failed("the auditor's namespaces"))?;
        let host_mounts = procfs.read(Subject::Myself, "mountinfo").and_then(|text| info::parse(&text));
        let host_mounts = host_mounts.map_err(failed("the auditor's mounts"))?;
        let groups = Layout::detect().map(Observer::new).map_err(|error| error.to_string());
        Ok(Self {
            procfs,
            host,
            host_mounts,
            groups,
            kernel: OnceCell::new(),
            crashes: OnceCell::new(),
            disks: OnceCell::new(),
            ways: OnceCell::new(),
            processes: OnceCell::new(),
            filters: RefCell::default(),
        })
    }

    /// What the host does with a crash, in the words of `core(5)`; nothing if that cannot be read.
    pub(crate) fn core_pattern(&self) -> &str {
        self.crashes.get_or_init(|| {
            let pattern = self.procfs.read_at("sys/kernel/core_pattern");
            pattern.map(|found| text(found.trim_ascii_end())).unwrap_or_default()
        })
    }

    /// The disks of the host: name, major and minor number.
    pub(crate) fn disks(&self) -> &[(String, u32, u32)] {
        self.disks.get_or_init(|| {
            let content = self.procfs.read_at("partitions").unwrap_or_default();
            let line = |line: &str| {
                let mut words = line.split_ascii_whitespace();
                let (major, minor, name) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.nth(1)?);
                Some((name.to_owned(), major, minor))
            };
            String::from_utf8_lossy(&content).lines().filter_map(line).collect()
        })
    }

    /// The processes whose pid namespace has this link, as they were when it was first asked for any. Whoever uses one looks at its
    /// link again: a number may mean another process by then.
    pub(crate) fn processes_of(&self, link: &[u8]) -> Read<Vec<i32>> {
        let all = self.processes.get_or_init(|| list(&self.procfs)).as_ref().map_err(Clone::clone)?;
        Ok(all.get(link).cloned().unwrap_or_default())
    }

    /// The filter of an OCI configuration, whose section `text` is.
    pub(crate) fn filter_of(&self, text: &str) -> Result<Rc<Filtered>, String> {
        self.filter(text.to_owned(), || {
            let profile = Profile::parse_oci(text.as_bytes()).and_then(|profile| profile.resolve(&Target::here(&[])));
            profile.map_err(|error| format!("what was asked for cannot be read: {error}"))
        })
    }

    /// The default filter for who can have these capabilities.
    pub(crate) fn default_filter(&self, capabilities: &[&str]) -> Result<Rc<Filtered>, String> {
        self.filter(format!("default for {}", capabilities.join(",")), || {
            let profile = Profile::builtin().and_then(|profile| profile.resolve(&Target::here(capabilities)));
            profile.map_err(|error| error.to_string())
        })
    }

    /// One of most containers' is the same: it is compiled once.
    fn filter(&self, key: String, make: impl FnOnce() -> Result<Filter, String>) -> Result<Rc<Filtered>, String> {
        if let Some(known) = self.filters.borrow().get(&key) {
            return known.clone();
        }
        let made = make().map(|filter| {
            let compiled = Compiled::new(&filter).map_err(|error| error.to_string());
            Rc::new(Filtered { filter, compiled, open: OnceCell::new() })
        });
        self.filters.borrow_mut().insert(key, made.clone());
        made
    }
}

/// All processes by their pid namespaces. Those that end meanwhile, or may not be looked at, are left out.
fn list(procfs: &Procfs) -> Read<Processes> {
    let root = told(procfs.open_at(".", OFlags::RDONLY | OFlags::DIRECTORY))?;
    let mut found = Processes::new();
    for entry in Dir::new(root).map_err(|errno| errno.to_string())? {
        let entry = entry.map_err(|errno| errno.to_string())?;
        let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if let Ok(link) = procfs.read_link(Subject::Pid(pid), "ns/pid") {
            found.entry(link).or_default().push(pid);
        }
    }
    Ok(found)
}
