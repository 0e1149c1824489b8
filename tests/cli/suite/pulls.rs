//! Pulls that are cut, killed, fed with rubbish and made by many at once: the store is sound after each, what was finished is not
//! fetched again, and the answer is the image or a clear error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use stockade_testkit::proxy::{Dice, Fault, Request, Served};
use stockade_testkit::{Call, Proxy, Registry, Stockade, generated, requires};

/// Layers of the image, beside busybox.
const LAYERS: usize = 8;
/// The bytes in each.
const SIZE: usize = 96 << 10;
/// How many stores are worked at side by side.
const LANES: u64 = 6;
/// What of an answer may be on its way when its connection ends.
const WINDOW: u64 = 64 << 10;

/// A registry with an image of [`LAYERS`] layers that do not compress, `noise:1`.
fn registry() -> Registry {
    let (registry, place) = (Registry::plain(), Stockade::new());
    let source = generated::noise(&place.folder().join("image"), 1, LAYERS, SIZE);
    registry.put(&source, "noise:1");
    registry
}

/// The image behind `proxy`.
fn image(proxy: &Proxy) -> String {
    format!("{}/noise:1", proxy.address())
}

/// A pull into the store of `stockade`.
fn pull(stockade: &Stockade, proxy: &Proxy) -> Call {
    stockade.call(&["pull", "-q", &image(proxy)]).limit(Duration::from_secs(300))
}

/// Asserts that the store is sound.
#[track_caller]
fn assert_sound(stockade: &Stockade) {
    stockade.ask(&["system", "check"]).ok();
}

/// Asserts that the image can be run without the registry.
#[track_caller]
fn assert_runs(stockade: &Stockade, proxy: &Proxy) {
    let done = stockade.call(&["run", "--rm", "--pull", "never", &image(proxy)]).args(["ls", "/"]).run().ok();
    let files = done.stdout.lines().filter(|line| line.starts_with("noise-")).count();
    assert_eq!(files, LAYERS, "{done:?}");
}

/// The blobs that are whole in the store.
fn whole(stockade: &Stockade) -> BTreeSet<String> {
    let entries = std::fs::read_dir(stockade.data().join("images/blobs/sha256")).into_iter().flatten();
    entries.map(|entry| format!("sha256:{}", entry.unwrap().file_name().to_string_lossy())).collect()
}

/// The requests for each blob in their order.
fn by_blob(served: &[Served]) -> BTreeMap<String, Vec<&Served>> {
    let mut requests: BTreeMap<String, Vec<&Served>> = BTreeMap::new();
    for one in served {
        if let Some(digest) = one.request.blob() {
            requests.entry(digest.to_owned()).or_default().push(one);
        }
    }
    requests
}

/// The blobs that were asked for by request `first` and later ones.
fn blobs_since(proxy: &Proxy, first: usize) -> BTreeSet<String> {
    let served = proxy.served().into_iter().filter(|one| one.request.number >= first);
    served.filter_map(|one| Some(one.request.blob()?.to_owned())).collect()
}

/// Asserts that each request for a blob goes on where the one before ended, but for what was on its way.
#[track_caller]
fn assert_resumed(served: &[Served]) {
    for (digest, requests) in by_blob(served) {
        let mut reached = 0;
        for one in requests {
            let start = one.request.start;
            assert!(start + WINDOW >= reached, "{digest} was at {reached} and begins again at {start}");
            reached = reached.max(start + one.bytes);
        }
    }
}

/// What may go wrong with a request: three of four blobs are cut, one of eight other answers is none.
fn misfortune(seed: u64, request: &Request) -> Fault {
    let mut dice = Dice::new(seed << 20 | request.number as u64);
    match (request.blob(), dice.below(8)) {
        (Some(_), 0..=5) => Fault::Cut(dice.below(SIZE as u64)),
        (None, 0) => Fault::Refuse,
        (None, 1) => Fault::Status(503),
        _ => Fault::None,
    }
}

/// Calls `work` with 0, 1, 2 and so on in several threads as long as it wants more.
fn lanes(work: impl Fn(u64) -> bool + Sync) {
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let more = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        work(next.fetch_add(1, Ordering::SeqCst) as u64)
                    }));
                    over.fetch_or(!more.as_ref().is_ok_and(|more| *more), Ordering::SeqCst);
                    more.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                }
            });
        }
    });
}

#[test]
fn a_thousand_cuts() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let registry = registry();
    let (cuts, whole_pulls) = (AtomicUsize::new(0), AtomicUsize::new(0));
    lanes(|seed| {
        let stockade = Stockade::new();
        let calm = Arc::new(AtomicBool::new(false));
        let is_calm = calm.clone();
        let proxy = Proxy::before(registry.address(), move |request| {
            if is_calm.load(Ordering::SeqCst) { Fault::None } else { misfortune(seed, request) }
        });
        let done = pull(&stockade, &proxy).run();
        if done.code() == 0 {
            whole_pulls.fetch_add(1, Ordering::SeqCst);
        } else {
            done.exits(1).refuses(&["broke off", "connect", "503"]);
        }
        assert_sound(&stockade);
        // Where it was given up it is done now, and nothing that is there is fetched again.
        let (kept, before) = (whole(&stockade), proxy.asked());
        calm.store(true, Ordering::SeqCst);
        pull(&stockade, &proxy).run().ok();
        let again = blobs_since(&proxy, before);
        assert!(again.is_disjoint(&kept), "fetched once more: {:?}", again.intersection(&kept));
        assert_resumed(&proxy.served());
        assert_sound(&stockade);
        assert_runs(&stockade, &proxy);
        let cut =
            proxy.served().iter().filter(|one| matches!(one.fault, Fault::Cut(most) if one.bytes == most)).count();
        cuts.fetch_add(cut, Ordering::SeqCst) + cut < 1000
    });
    assert!(cuts.load(Ordering::SeqCst) >= 1000 && whole_pulls.load(Ordering::SeqCst) > 0);
}

#[test]
fn two_hundred_kills() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let registry = registry();
    let (kills, within) = (AtomicUsize::new(0), AtomicUsize::new(0));
    lanes(|seed| {
        let stockade = Stockade::new();
        let mut dice = Dice::new(seed);
        // Slow enough that something is always under way.
        let proxy = Proxy::before(registry.address(), |_| Fault::Delay(Duration::from_millis(15)));
        let mut kept = BTreeSet::new();
        for _ in 0..8 {
            let before = proxy.asked();
            let running = pull(&stockade, &proxy).start();
            std::thread::sleep(Duration::from_millis(dice.below(150)));
            running.signal(Signal::KILL);
            let killed = running.wait();
            let again = blobs_since(&proxy, before);
            assert!(again.is_disjoint(&kept), "fetched once more: {:?}", again.intersection(&kept));
            kept = whole(&stockade);
            kills.fetch_add(1, Ordering::SeqCst);
            within.fetch_add(usize::from(killed.code() == 137), Ordering::SeqCst);
            assert_sound(&stockade);
        }
        pull(&stockade, &proxy).run().ok();
        assert_sound(&stockade);
        assert_runs(&stockade, &proxy);
        kills.load(Ordering::SeqCst) < 200
    });
    let (kills, within) = (kills.into_inner(), within.into_inner());
    assert!(kills >= 200 && within * 2 > kills, "of {kills} kills {within} came before the end");
}

#[test]
fn many_at_once_fetch_everything_once() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let registry = registry();
    for many in [2, 8] {
        let stockade = Stockade::new();
        let proxy = Proxy::before(registry.address(), |_| Fault::Delay(Duration::from_millis(10)));
        let running: Vec<_> = (0..many).map(|_| pull(&stockade, &proxy).start()).collect();
        running.into_iter().for_each(|one| drop(one.wait().ok()));
        let served = proxy.served();
        for (digest, requests) in by_blob(&served) {
            // Documents are too small to wait for.
            let large = requests.iter().any(|one| one.bytes > 4096);
            assert!(!large || requests.len() == 1, "{digest}: {requests:?}");
        }
        assert_sound(&stockade);
        assert_runs(&stockade, &proxy);
    }
}

#[test]
fn the_one_who_fetches_dies_and_another_goes_on() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let registry = registry();
    for seed in 0..10 {
        let stockade = Stockade::new();
        let proxy = Proxy::before(registry.address(), |_| Fault::Delay(Duration::from_millis(15)));
        let [first, second] = [(); 2].map(|()| pull(&stockade, &proxy).start());
        std::thread::sleep(Duration::from_millis(20 + Dice::new(seed).below(80)));
        first.signal(Signal::KILL);
        first.wait().either_way();
        // What is whole is not fetched again. How much of a part was still on its way to the one that died nobody can tell.
        let (kept, before) = (whole(&stockade), proxy.asked());
        second.wait().ok();
        let again = blobs_since(&proxy, before);
        assert!(again.is_disjoint(&kept), "fetched once more: {:?}", again.intersection(&kept));
        assert_sound(&stockade);
        assert_runs(&stockade, &proxy);
    }
}

#[test]
fn rubbish_is_refused_and_leaves_nothing() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let registry = registry();
    for seed in 0..24 {
        let stockade = Stockade::new();
        let calm = Arc::new(AtomicBool::new(false));
        let is_calm = calm.clone();
        // One document or blob of the pull is another one, every time that it is asked for.
        let proxy = Proxy::before(registry.address(), move |request| {
            let mut dice = Dice::new(seed);
            let (place, kind) = (dice.below(SIZE as u64), dice.below(2));
            let struck = request.method == "GET" && request.path != "/v2/" && request.path.len() as u64 % 3 == seed % 3;
            match kind {
                _ if is_calm.load(Ordering::SeqCst) || !struck => Fault::None,
                0 => Fault::Corrupt(if request.blob().is_some() { place } else { place % 400 }),
                _ => Fault::Truncate(place % 300),
            }
        });
        let done = pull(&stockade, &proxy).run();
        if done.code() != 0 {
            done.exits(1).refuses(&["content of", "bytes", "size", "read", "length", "short", "expected"]);
        }
        assert_sound(&stockade);
        calm.store(true, Ordering::SeqCst);
        pull(&stockade, &proxy).run().ok();
        assert_sound(&stockade);
        assert_runs(&stockade, &proxy);
    }
}
