//! Signals by their names and numbers, as `kill(1)` takes them.

use rustix::process::Signal;

use super::by_number;

/// The signals by their names of `signal(7)`.
const SIGNALS: [(&str, Signal); 31] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ILL", Signal::ILL),
    ("TRAP", Signal::TRAP),
    ("ABRT", Signal::ABORT),
    ("BUS", Signal::BUS),
    ("FPE", Signal::FPE),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("SEGV", Signal::SEGV),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("STKFLT", Signal::STKFLT),
    ("CHLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
    ("VTALRM", Signal::VTALARM),
    ("PROF", Signal::PROF),
    ("WINCH", Signal::WINCH),
    ("IO", Signal::IO),
    ("PWR", Signal::POWER),
    ("SYS", Signal::SYS),
];

/// The first real-time signal that libc leaves to programs, and the last of all (`signal(7)`).
const RTMIN: i32 = 34;
/// The last of all.
const RTMAX: i32 = 64;

/// A signal by name, with or without `SIG` and in any case, by number, or a real-time one (`RTMIN+3`, `RTMAX-1`); `None` if it
/// is none.
#[must_use]
pub fn by_name(text: &str) -> Option<Signal> {
    if let Ok(number) = text.parse::<i32>() {
        return by_number(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, signal)) = SIGNALS.iter().find(|(known, _)| *known == name) {
        return Some(*signal);
    }
    let offset = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i32>().ok() };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(above), _) => offset(above)?.checked_add(RTMIN),
        (_, Some(below)) => offset(below)?.checked_add(RTMAX),
        _ => None,
    };
    number.filter(|number| (RTMIN..=RTMAX).contains(number)).and_then(by_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        for (text, number) in
            [("KILL", 9), ("sigterm", 15), ("1", 1), ("RTMIN", 34), ("SIGRTMIN+3", 37), ("rtmax-1", 63)]
        {
            assert_eq!(by_name(text).map(Signal::as_raw), Some(number), "{text}");
        }
        for wrong in ["", "0", "65", "-1", "SIG", "KILLL", "RTMIN+31", "RTMAX+1", "32", "RTMIN+2147483647", "RTMIN-1"] {
            assert_eq!(by_name(wrong), None, "{wrong}");
        }
    }
}
