//! What a policy demands to be proved: right after its start the audit must find nothing of a container weaker than it was asked for.

use stockade_engine::policy::{Organisation, OrganisationError};
use stockade_engine::{ContainerId, Engine, KillError, StartError};
use stockade_kernel::chain::chain;
use stockade_lens::{AuditError, Verdict};

use crate::verb::audit::container;

/// Why a container does not run although it was started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    /// It was not started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It was not started anew.
    #[error(transparent)]
    Restart(#[from] stockade_engine::RestartError),
    /// The policy cannot be used.
    #[error(transparent)]
    Policy(#[from] OrganisationError),
    /// A wall is weaker.
    #[error("the container was killed, as the policy demands: weaker than asked: {0}")]
    Weaker(String),
    /// It could not be proved.
    #[error("the container was killed, as the policy demands: it cannot be audited: {0}")]
    Unproved(String),
    /// It could not be killed either.
    #[error("the container runs and is not as the policy demands ({why}), and cannot be killed")]
    Lives {
        /// What is wrong with it.
        why: String,
        /// Why it lives.
        source: KillError,
    },
}

/// Proves a container that was just started, if the policy demands it, and kills it where that fails. One that has ended already has
/// nothing to prove.
///
/// # Errors
/// [`ProofError`].
pub(crate) fn prove(engine: &Engine, id: &ContainerId) -> Result<(), ProofError> {
    if !Organisation::load()?.is_some_and(|policy| policy.demands_proof()) {
        return Ok(());
    }
    let Some(wrong) = wrong(engine, id) else { return Ok(()) };
    match stockade_engine::kill(engine, id, rustix::process::Signal::KILL) {
        Ok(()) | Err(KillError::NotRunning(_)) => Err(wrong),
        Err(source) => Err(ProofError::Lives { why: wrong.to_string(), source }),
    }
}

/// What is wrong with it.
fn wrong(engine: &Engine, id: &ContainerId) -> Option<ProofError> {
    let runs = || stockade_engine::inspect(engine, id).map(|found| found.state.pid != 0);
    match runs() {
        Ok(false) => return None,
        Ok(true) => {}
        Err(error) => return Some(ProofError::Unproved(chain(&error))),
    }
    let report = match container(engine, id).map(|target| stockade_lens::audit(&target)) {
        Ok(Ok(report)) => report,
        Ok(Err(AuditError::Ended(_) | AuditError::Missing(_))) => return None,
        Ok(Err(error)) => return Some(ProofError::Unproved(chain(&error))),
        Err(_) if runs().is_ok_and(|runs| !runs) => return None,
        Err(reason) => return Some(ProofError::Unproved(reason)),
    };
    let findings = report.checks.iter().flat_map(|check| check.findings.iter().map(move |finding| (check, finding)));
    let weaker = findings.filter(|(_, finding)| finding.verdict == Verdict::WeakerThanAsked);
    let weaker: Vec<String> = weaker.map(|(check, finding)| format!("{}: {}", check.id, finding.part)).collect();
    (!weaker.is_empty()).then(|| ProofError::Weaker(weaker.join(", ")))
}
