//! How long a registry is waited for, and how often it is asked again.

use std::time::Duration;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How often something is tried that fails in a way that may pass.
    pub attempts: u32,
    /// The pause after the first failure; each is twice as long as the one before.
    pub first: Duration,
    /// The longest pause, and the longest that a registry may ask for by `Retry-After`.
    pub longest: Duration,
    /// How long a connection may take to be made.
    pub connect: Duration,
    /// How long a connection may stand still.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 6,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(20),
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(60),
        }
    }
}

impl Patience {
    /// Waits after the failure number `failures`, counted from 1: something between half of the pause and all of it, so that many
    /// who failed together do not come again together.
    pub(super) fn pause(&self, failures: u32) {
        std::thread::sleep(self.length(failures, random()));
    }

    fn length(&self, failures: u32, random: u16) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let whole = doubled.min(self.longest);
        whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u16::MAX))
    }
}

/// Some number; how good it is does not matter here.
fn random() -> u16 {
    let mut bytes = [0; 2];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(_) => u16::from_be_bytes(bytes),
        Err(_) => u16::MAX / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let patience =
            Patience { first: Duration::from_secs(1), longest: Duration::from_secs(6), ..Patience::default() };
        let range =
            |failures| (patience.length(failures, 0).as_millis(), patience.length(failures, u16::MAX).as_millis());
        assert_eq!([range(1), range(2), range(3), range(4)], [(500, 1000), (1000, 2000), (2000, 4000), (3000, 6000)]);
        assert_eq!(range(u32::MAX), (3000, 6000));
    }
}
