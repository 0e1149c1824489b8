//! Numbers that nobody can guess (`getrandom(2)`).

use std::io;

/// A new id of an object: 64 lower-case hexadecimal digits, as Docker's.
///
/// # Errors
/// As `getrandom(2)`.
pub fn id() -> io::Result<String> {
    let mut bytes = [0u8; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::io::retry_on_intr(|| rustix::rand::getrandom(&mut bytes[filled..], flags))?;
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_digits_and_not_the_same_twice() {
        let (one, two) = (super::id().unwrap(), super::id().unwrap());
        assert!(one.len() == 64 && one.bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{one}");
        assert_ne!(one, two);
    }
}
