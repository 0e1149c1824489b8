//! Docker's words for what happens.

use std::fmt;

/// What happens to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerAction {
    /// Somebody attaches to its streams.
    Attach,
    /// An image is made of it.
    Commit,
    /// Files are copied into or out of it.
    Copy,
    /// It is made.
    Create,
    /// It is removed.
    Destroy,
    /// Somebody leaves its streams by the detach keys.
    Detach,
    /// Its first process ended; with `exitCode`, `execDuration` in seconds, and `signal` where one ended it.
    Die,
    /// A program to be executed in it is announced; with the program and its arguments, and `execID`.
    ExecCreate(String),
    /// Somebody leaves such a program by the detach keys; with `execID`.
    ExecDetach,
    /// Such a program ended; with `execID` and `exitCode`.
    ExecDie,
    /// Such a program is started; with the program and its arguments, and `execID`.
    ExecStart(String),
    /// Its files are exported.
    Export,
    /// A health check changed what is known of it: `healthy`, `unhealthy`, `starting`.
    HealthStatus(String),
    /// A signal is sent to it; with `signal`.
    Kill,
    /// The kernel ended a process of it for want of memory.
    Oom,
    /// It stands still.
    Pause,
    /// It is called otherwise; with `oldName`.
    Rename,
    /// Its terminal changes its size; with `height` and `width`.
    Resize,
    /// It was ended and started again by a command.
    Restart,
    /// Its program is executed.
    Start,
    /// It was ended by `stop`.
    Stop,
    /// Its processes are listed.
    Top,
    /// It goes on.
    Unpause,
    /// Its limits or its restart policy change.
    Update,
    /// All that do not run were removed; with `reclaimed`, in bytes, and no id.
    Prune,
}

impl fmt::Display for ContainerAction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Attach => "attach",
            Self::Commit => "commit",
            Self::Copy => "copy",
            Self::Create => "create",
            Self::Destroy => "destroy",
            Self::Detach => "detach",
            Self::Die => "die",
            Self::ExecCreate(words) => return write!(out, "exec_create: {words}"),
            Self::ExecDetach => "exec_detach",
            Self::ExecDie => "exec_die",
            Self::ExecStart(words) => return write!(out, "exec_start: {words}"),
            Self::Export => "export",
            Self::HealthStatus(status) => return write!(out, "health_status: {status}"),
            Self::Kill => "kill",
            Self::Oom => "oom",
            Self::Pause => "pause",
            Self::Rename => "rename",
            Self::Resize => "resize",
            Self::Restart => "restart",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Top => "top",
            Self::Unpause => "unpause",
            Self::Update => "update",
            Self::Prune => "prune",
        })
    }
}

/// What happens to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageAction {
    /// It is made by `commit` or `build`.
    Create,
    /// It is removed.
    Delete,
    /// It is made of an archive of files.
    Import,
    /// It is read from an archive of images.
    Load,
    /// Those that nobody needs were removed; with `reclaimed`, in bytes, and no id.
    Prune,
    /// It came from a registry.
    Pull,
    /// It went to a registry.
    Push,
    /// It is written to an archive of images.
    Save,
    /// It has one more name.
    Tag,
    /// It has one name less.
    Untag,
}

impl ImageAction {
    /// Docker's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Import => "import",
            Self::Load => "load",
            Self::Prune => "prune",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Save => "save",
            Self::Tag => "tag",
            Self::Untag => "untag",
        }
    }
}

/// What happens to a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeAction {
    /// It is made; with `driver`.
    Create,
    /// It is removed; with `driver`.
    Destroy,
    /// A container that has it starts; with `container`, `destination`, `driver`, `propagation`, `read/write`.
    Mount,
    /// Those that nobody needs were removed; with `reclaimed`, in bytes, and no name.
    Prune,
    /// A container that has it ended; with `container` and `driver`.
    Unmount,
}

impl VolumeAction {
    /// Docker's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Destroy => "destroy",
            Self::Mount => "mount",
            Self::Prune => "prune",
            Self::Unmount => "unmount",
        }
    }
}

/// What happens to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkAction {
    /// A container gets it; with `container`.
    Connect,
    /// It is made.
    Create,
    /// It is removed.
    Destroy,
    /// A container loses it; with `container`.
    Disconnect,
    /// Those that nobody needs were removed; with no id.
    Prune,
}

impl NetworkAction {
    /// Docker's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Create => "create",
            Self::Destroy => "destroy",
            Self::Disconnect => "disconnect",
            Self::Prune => "prune",
        }
    }
}
