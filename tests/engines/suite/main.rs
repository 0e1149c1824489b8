//! Other people's engines drive the runtime, unchanged: Docker, Podman, and containerd by its own client. What they and their
//! users see must be what they see with runc, which `STOCKADE_TEST_RUNTIME=/usr/sbin/runc` judges.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Makes tests of the named functions of the calling module, which take an engine: one with Docker and one with Podman.
macro_rules! with_both_engines {
    ($($test:ident),+ $(,)?) => {
        mod docker {
            $(#[test]
            fn $test() {
                stockade_testkit::requires!(root, runtime, busybox_packed, docker, dockerd, script, nsenter);
                super::$test(crate::engine::docker());
            })+
        }
        mod podman {
            $(#[test]
            fn $test() {
                stockade_testkit::requires!(root, runtime, busybox_packed, podman, script, nsenter);
                super::$test(crate::engine::podman());
            })+
        }
    };
}

mod agreements;
mod audits;
mod cell;
mod containerd;
mod cri;
mod docker;
mod engine;
mod life;
mod limits;
mod podman;
mod registration;
mod run;
