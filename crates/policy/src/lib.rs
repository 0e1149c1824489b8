//! What a container is confined by when nobody says otherwise, and what each option changes about that.
//!
//! [`defaults`] is Docker's default posture as data, with a reason per entry. [`Posture::plan`] is the pure function from the
//! options of `stockade run` and the facts of the machine to a [`Posture`], in OCI's words. Each flag has a type whose
//! `FromStr` is Docker's grammar; every unknown key or value is an error, and so are options that exclude each other.
//!
//! [`Seccomp::resolve`] makes OCI's `linux.seccomp` of the chosen filter, for [`Posture::fill`] to write down.
//!
//! Beyond Docker: `--cap-drop` counts with `--privileged` too, a capability added by name that cannot be had is an error, and each
//! container has a cgroup namespace of its own on either version of control groups.
//!
//! The runtime-spec's and Docker's behaviour are those of runtime-spec 1.3 and Docker 29.

pub use stockade_apparmor as apparmor;
pub use stockade_capabilities as caps;

mod capabilities;
pub mod defaults;
pub mod devices;
pub mod error;
pub mod fill;
pub mod limits;
pub mod namespaces;
pub mod options;
pub mod organisation;
pub mod posture;
pub mod resources;
pub mod seccomp;
pub mod security;
pub mod sysctl;
pub mod users;

pub use capabilities::sets as capability_sets;
pub use error::PolicyError;
pub use fill::{FillError, Resolved};
pub use options::{Machine, Options};
pub use organisation::{Organisation, OrganisationError};
pub use posture::{Notice, Posture};
pub use seccomp::{Kernel, SeccompError};
pub use security::{Seccomp, SecurityOptions};
