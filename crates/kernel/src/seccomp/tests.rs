//! Filters tried on the real kernel, in threads and processes of their own.

use super::*;

/// Runs `body` in a thread of its own, which may be filtered.
fn in_thread<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(body).join().unwrap()
}

/// Answers getpgid with `action` and allows all else.
fn on_getpgid(action: u32) -> [Instruction; 4] {
    let i = |code, if_true, if_false, constant| Instruction { code, if_true, if_false, constant };
    [i(0x20, 0, 0, 0), i(0x15, 0, 1, libc::SYS_getpgid as u32), i(0x06, 0, 0, action), i(0x06, 0, 0, 0x7fff_0000)]
}

#[test]
fn actions_and_flags_are_told() {
    assert!(action_available(0x7fff_0000).unwrap());
    assert!(!action_available(0x1234_0000).unwrap());
    assert!(flags_available(FilterFlags::LOG | FilterFlags::SPEC_ALLOW).unwrap());
    assert!(!flags_available(FilterFlags::from_bits_retain(1 << 30)).unwrap());
    assert_eq!(notification_sizes().unwrap(), NotificationSizes { notification: 80, response: 24, data: 64 });
}

#[test]
fn a_filter_answers_with_its_errno() {
    let errno = in_thread(|| {
        rustix::thread::set_no_new_privs(true).unwrap();
        set_mode_filter(FilterFlags::empty(), &on_getpgid(0x0005_0000 | 77)).unwrap();
        probe(Probe::GetProcessGroup, Abi::Native, [0; 6]).unwrap_err().raw_os_error()
    });
    assert_eq!(errno, Some(77));
}

#[test]
fn a_listener_receives_and_answers() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let caller = std::thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        let listener = set_mode_filter(FilterFlags::NEW_LISTENER, &on_getpgid(0x7fc0_0000)).unwrap().unwrap();
        sender.send(listener).unwrap();
        probe(Probe::GetProcessGroup, Abi::Native, [7, 0, 0, 0, 0, 0]).unwrap()
    });
    let listener = receiver.recv().unwrap();
    let notification = receive(&listener).unwrap();
    assert_eq!((i64::from(notification.number), notification.arguments[0]), (libc::SYS_getpgid, 7));
    assert!(id_valid(&listener, notification.id).unwrap());
    assert!(add_fd(&listener, notification.id, listener.as_fd()).unwrap() > 2);
    reply(&listener, notification.id, Reply::Value(4242)).unwrap();
    assert_eq!(caller.join().unwrap(), 4242);
    assert!(!id_valid(&listener, notification.id).unwrap());
}

#[test]
fn probes_that_could_touch_memory_are_refused() {
    for (call, arguments) in [(Probe::Clone, [0x100, 0, 0, 0, 0, 0]), (Probe::Clone, [17, 4096, 0, 0, 0, 0])] {
        assert_eq!(probe(call, Abi::Native, arguments).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
    assert!(probe(Probe::Clone, Abi::Native, [17, 0, 0, 0, 0, 0]).unwrap() > 0);
}
