//! What this kernel can do.

use std::io;

use rustix::io::Errno;
use stockade_kernel::seccomp::{FilterFlags, action_available, flags_available, notification_sizes};

use crate::apply::kernel_flags;
use crate::cache::Compiled;
use crate::model::{Action, Flags};

/// What the kernel of this machine can do; nothing of it without CONFIG_SECCOMP_FILTER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Support {
    /// The actions, with 0 for what comes with them.
    pub actions: Vec<Action>,
    /// The flags, each by itself.
    pub flags: Flags,
    /// Whether a rule may notify a listener (Linux 5.0).
    pub listener: bool,
    /// Whether that goes together with TSYNC (Linux 5.7).
    pub listener_with_tsync: bool,
}

/// What a compiled filter needs and the kernel lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lacking {
    /// An action.
    #[error("this kernel does not know {}", .0.oci_name())]
    Action(Action),
    /// Flags, or flags together with a listener.
    #[error("this kernel does not take the filter flags {0:?}")]
    Flags(Flags),
}

/// All actions, with 0 for what comes with them.
const ACTIONS: [Action; 8] = [
    Action::KillProcess,
    Action::KillThread,
    Action::Trap,
    Action::Errno(0),
    Action::Notify,
    Action::Trace(0),
    Action::Log,
    Action::Allow,
];

impl Support {
    /// Asks the kernel. Changes nothing.
    ///
    /// # Errors
    /// As `seccomp(2)`, but not `EINVAL` and `ENOSYS`, by which a kernel says that it has no filters or does not tell.
    pub fn probe() -> io::Result<Self> {
        let mut support = Self::probe_some(|_| true, Flags::all())?;
        support.probe_listener()?;
        Ok(support)
    }

    /// Asks only for what [`Support::suffices`] needs to know of `compiled`: a start makes fewer system calls.
    ///
    /// # Errors
    /// As [`Support::probe`].
    pub fn probe_for(compiled: &Compiled) -> io::Result<Self> {
        let kind = |code: u32| code & 0xffff_0000;
        let returned = compiled.program.iter().filter(|instruction| instruction.code == crate::compile::RETURN);
        let codes: std::collections::BTreeSet<u32> = returned.map(|instruction| kind(instruction.constant)).collect();
        let mut support = Self::probe_some(|action| codes.contains(&kind(action.code())), compiled.flags)?;
        if compiled.notifies {
            support.probe_listener()?;
        }
        Ok(support)
    }

    /// Asks for the actions that are `wanted`, and for each of `flags`.
    fn probe_some(wanted: impl Fn(Action) -> bool, flags: Flags) -> io::Result<Self> {
        let mut support = Self { flags: Flags::empty(), ..Self::default() };
        for action in ACTIONS.into_iter().filter(|action| wanted(*action)) {
            if known(action_available(action.code()))? {
                support.actions.push(action);
            }
        }
        for flag in flags.iter() {
            if known(flags_available(kernel_flags(flag, flag == Flags::WAIT_KILLABLE_RECV)))? {
                support.flags |= flag;
            }
        }
        Ok(support)
    }

    /// Asks for listeners.
    fn probe_listener(&mut self) -> io::Result<()> {
        let listener = FilterFlags::NEW_LISTENER;
        let synchronised = listener | FilterFlags::THREAD_SYNC | FilterFlags::THREAD_SYNC_ESRCH;
        self.listener = known(notification_sizes().map(|_| true))? && known(flags_available(listener))?;
        self.listener_with_tsync = self.listener && known(flags_available(synchronised))?;
        Ok(())
    }

    /// What of `compiled` this kernel can not do, if anything: it would refuse the filter, or, of an unknown action, kill.
    ///
    /// # Errors
    /// [`Lacking`].
    pub fn suffices(&self, compiled: &Compiled) -> Result<(), Lacking> {
        let has =
            |action: Action| self.actions.iter().any(|known| known.code() & 0xffff_0000 == action.code() & 0xffff_0000);
        let returned = compiled.program.iter().filter(|instruction| instruction.code == crate::compile::RETURN);
        let mut actions = returned.map(|instruction| Action::from_code(instruction.constant));
        if let Some(action) = actions.find(|action| !has(*action)) {
            return Err(Lacking::Action(action));
        }
        let both = compiled.notifies && compiled.flags.contains(Flags::TSYNC) && !self.listener_with_tsync;
        // WAIT_KILLABLE_RECV is set with a listener only.
        let needed = if compiled.notifies { compiled.flags } else { compiled.flags - Flags::WAIT_KILLABLE_RECV };
        if both || !self.flags.contains(needed) {
            return Err(Lacking::Flags(if both { Flags::TSYNC } else { needed - self.flags }));
        }
        Ok(())
    }
}

/// `EINVAL` and `ENOSYS` are the answer no.
fn known(answer: io::Result<bool>) -> io::Result<bool> {
    match answer {
        Err(error) if [Errno::INVAL, Errno::NOSYS].iter().any(|no| error.raw_os_error() == Some(no.raw_os_error())) => {
            Ok(false)
        }
        other => other,
    }
}
