//! Numbers that look random and follow from a seed, which a run prints and takes back.

/// Where a seed is given.
const SEED: &str = "STOCKADE_TEST_SEED";

/// The seed that is given, or the clock's, which is printed.
///
/// # Panics
/// If what is given is no number.
#[must_use]
pub fn seed() -> u64 {
    let given = std::env::var(SEED).ok().map(|seed| seed.parse().expect("STOCKADE_TEST_SEED is a number"));
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos().into();
    let seed = given.unwrap_or_else(now);
    eprintln!("{SEED}={seed}");
    seed
}

/// Numbers that follow from a seed (xorshift64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Those of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// Those of one of several that work at once.
    #[must_use]
    pub fn of_worker(seed: u64, number: u64) -> Self {
        Self::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number + 1))
    }

    /// The next number, which is less than `most`.
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    /// One of several, of which there must be one.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}
