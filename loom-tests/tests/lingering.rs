//! Pins that linger: a thread that only says so is pinned, however others revoke what it is pinned by.
#![cfg(binlock_loom)]

use std::sync::Arc;

use binlock::{Cover, Lingering, Participant};
use binlock_loom_tests::{model, model_within, start};
use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    thread::JoinHandle,
};

/// One for the thread, and one more that it makes while the first is being revoked.
const COVERS: usize = 2;

/// All covers of a model, as who frees something sees them.
struct Pins {
    pinned: [AtomicBool; COVERS],
    made: AtomicUsize,
    dropped: AtomicUsize,
}

loom::lazy_static! {
    static ref PINS: Pins = Pins {
        pinned: std::array::from_fn(|_| AtomicBool::new(false)),
        made: AtomicUsize::new(0),
        dropped: AtomicUsize::new(0),
    };
}

/// A cover that notices when two threads have it at once.
struct Watched {
    number: usize,
    /// Whether it is pinned.
    owned: UnsafeCell<bool>,
}

impl Watched {
    fn set(&self, is_pinned: bool) {
        self.owned.with_mut(|owned| {
            // SAFETY: loom checks it.
            unsafe { *owned = is_pinned };
        });
    }
}

impl Cover for Watched {
    fn new() -> Watched {
        let number = PINS.made.fetch_add(1, Ordering::Relaxed);
        assert!(number < COVERS, "a spare cover was not used again");
        Watched { number, owned: UnsafeCell::new(false) }
    }

    fn pin(&self) {
        self.set(true);
        PINS.pinned[self.number].store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    fn unpin(&self) {
        self.set(false);
        PINS.pinned[self.number].store(false, Ordering::Release);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.unpin();
        PINS.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// A value that one thread reads under its pins, and another one retires.
struct Scene {
    all: Lingering<Watched>,
    is_reachable: AtomicBool,
    value: UnsafeCell<u32>,
}

// SAFETY: loom's threads are one thread.
unsafe impl Sync for Scene {}
// SAFETY: as above.
unsafe impl Send for Scene {}

impl Scene {
    fn new() -> Arc<Scene> {
        Arc::new(Scene {
            all: Lingering::new(),
            is_reachable: AtomicBool::new(true),
            value: UnsafeCell::new(1),
        })
    }

    /// At the end of a model: no cover has been lost.
    fn end(self: Arc<Self>) {
        drop(Arc::into_inner(self).unwrap());
        let [made, dropped] = [&PINS.made, &PINS.dropped].map(|n| n.load(Ordering::Relaxed));
        assert_eq!(made, dropped);
    }

    fn pinned<R>(&self, place: &Participant<Watched>, f: impl FnOnce() -> R) -> R {
        // SAFETY: by the thread that has joined there.
        unsafe { place.enter(&self.all) };
        // SAFETY: as above.
        let cover = unsafe { place.cover() };
        // SAFETY: loom checks it.
        cover.owned.with(|owned| assert!(unsafe { *owned }, "not pinned"));
        let result = f();
        // SAFETY: loom checks it.
        cover.owned.with(|owned| assert!(unsafe { *owned }, "not pinned any more"));
        // SAFETY: entered above.
        unsafe { place.exit(&self.all) };
        result
    }

    fn read(&self, place: &Participant<Watched>) {
        self.pinned(place, || {
            if self.is_reachable.load(Ordering::Acquire) {
                // SAFETY: loom checks it.
                self.value.with(|value| assert_eq!(unsafe { *value }, 1));
            }
        });
    }

    /// Frees the value if nobody can be reading it.
    fn retire(&self) -> bool {
        self.is_reachable.store(false, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.all.next_round();
        self.all.revoke(0, None);
        let is_free = PINS.pinned.iter().all(|pinned| !pinned.load(Ordering::Acquire));
        if is_free {
            // SAFETY: loom checks it.
            self.value.with_mut(|value| unsafe { *value = 0 });
        }
        is_free
    }
}

/// Runs something on a thread of its own.
fn spawn<R: 'static>(scene: &Arc<Scene>, f: impl FnOnce(&Scene) -> R + 'static) -> JoinHandle<R> {
    let scene = Arc::clone(scene);
    start(move || f(&scene))
}

#[test]
fn what_is_read_under_a_pin_that_lingers_is_not_freed() {
    model(|| {
        let scene = Scene::new();
        let reader = spawn(&scene, |other| {
            let place = other.all.join();
            other.read(place);
            other.read(place);
            other.read(place);
        });
        scene.retire();
        reader.join().unwrap();
        scene.end();
    });
}

#[test]
fn a_pin_that_was_left_behind_keeps_nothing() {
    model(|| {
        let scene = Scene::new();
        let reader = spawn(&scene, |other| {
            let place = other.all.join();
            other.read(place);
        });
        scene.all.revoke(0, None);
        reader.join().unwrap();
        assert!(scene.retire());
        scene.end();
    });
}

/// One that has seen the thread idle must not take the cover when the thread has come and gone, and the
/// other one has marked the cover anew.
#[test]
fn two_revoke_what_a_thread_comes_back_to() {
    model(|| {
        let scene = Scene::new();
        let place = scene.all.join();
        scene.pinned(place, || ());
        let revokers = [(), ()].map(|()| {
            spawn(&scene, |other| {
                other.all.revoke(0, None);
            })
        });
        scene.pinned(place, || ());
        scene.pinned(place, loom::thread::yield_now);
        for revoker in revokers {
            revoker.join().unwrap();
        }
        scene.end();
    });
}

/// Its thread pins it anew, and so must not take the round that follows the mark for one that it has seen
/// the cover in.
#[test]
fn a_cover_that_is_marked_while_its_thread_pins_anew_is_not_taken_from_under_the_next_operation() {
    model_within(4, || {
        let scene = Scene::new();
        let place = scene.all.join();
        scene.pinned(place, || ());
        scene.all.next_round();
        let revoker = spawn(&scene, |other| {
            other.all.revoke(0, None);
        });
        scene.pinned(place, || ());
        scene.pinned(place, loom::thread::yield_now);
        revoker.join().unwrap();
        scene.end();
    });
}

/// So the mark that the first one leaves is taken off, set anew, and the second one must not take the
/// cover for one whose thread it has seen idle.
#[test]
fn one_revokes_again_and_again_what_a_thread_uses() {
    model(|| {
        let scene = Scene::new();
        let reader = spawn(&scene, |other| {
            let place = other.all.join();
            other.read(place);
            other.read(place);
        });
        scene.all.revoke(0, None);
        scene.retire();
        reader.join().unwrap();
        scene.end();
    });
}

#[test]
fn a_thread_that_ends_gives_its_place_to_another_while_it_is_revoked() {
    model(|| {
        let scene = Scene::new();
        let threads = spawn(&scene, |other| {
            for _ in 0..2 {
                let place = other.all.join();
                other.read(place);
                // SAFETY: joined above.
                unsafe { place.leave(&other.all) };
            }
        });
        scene.retire();
        threads.join().unwrap();
        scene.end();
    });
}

/// A thread that has written ends its pin by a fence, whatever other pins it has; or keeps the pin, with a fence.
#[test]
fn of_two_that_each_write_and_then_read_what_the_other_one_has_written_one_finds_it() {
    for [is_nested, is_kept] in [[false, false], [true, false], [false, true], [true, true]] {
        model(move || {
            let scene = Scene::new();
            let written = Arc::new([(); 2].map(|()| AtomicBool::new(false)));
            let both = [0, 1].map(|mine| {
                let (scene, written) = (Arc::clone(&scene), Arc::clone(&written));
                move || {
                    let place = scene.all.join();
                    // So that it has a cover, and pays for no fence any more.
                    scene.pinned(place, || ());
                    let write = || {
                        // SAFETY: by the thread that has joined there.
                        unsafe { place.enter(&scene.all) };
                        written[mine].store(true, Ordering::Relaxed);
                        if is_kept {
                            // SAFETY: entered above.
                            unsafe { place.fence() };
                        } else {
                            // SAFETY: entered above.
                            unsafe { place.exit_with_fence(&scene.all) };
                        }
                    };
                    if is_nested {
                        scene.pinned(place, write);
                    } else {
                        write();
                    }
                    // (Not under a pin of its own: in models, its light fence is one like any other.)
                    let found = written[1 - mine].load(Ordering::Relaxed);
                    if is_kept {
                        // SAFETY: entered above.
                        unsafe { place.exit(&scene.all) };
                    }
                    found
                }
            });
            let [one, other] = both;
            let one = start(one);
            // (And drops what it has of the scene.)
            let other = std::convert::identity(other)();
            assert!(one.join().unwrap() || other, "both miss the other one's");
            scene.end();
        });
    }
}

#[test]
fn a_pin_is_one_until_its_end_though_a_fence_is_in_its_middle() {
    model(|| {
        let scene = Scene::new();
        let reader = spawn(&scene, |other| {
            let place = other.all.join();
            other.pinned(place, || {
                // SAFETY: entered above.
                unsafe { place.fence() };
                if other.is_reachable.load(Ordering::Acquire) {
                    // SAFETY: loom checks it.
                    other.value.with(|value| assert_eq!(unsafe { *value }, 1));
                }
            });
            // With a depth that is one, and not more or less.
            other.read(place);
        });
        scene.retire();
        reader.join().unwrap();
        assert!(scene.retire());
        scene.end();
    });
}

#[test]
fn two_join_at_once() {
    model(|| {
        let scene = Scene::new();
        let reader = spawn(&scene, |other| {
            let place = other.all.join();
            other.read(place);
        });
        scene.read(scene.all.join());
        reader.join().unwrap();
        assert!(scene.retire());
        scene.end();
    });
}

#[test]
fn a_guard_that_is_held_when_its_thread_leaves_is_one_until_it_is_dropped() {
    model(|| {
        let scene = Scene::new();
        let reader = spawn(&scene, |other| {
            let place = other.all.join();
            other.pinned(place, || {
                // SAFETY: joined above, and not entered any more.
                unsafe { place.leave(&other.all) };
                other.is_reachable.load(Ordering::Acquire).then(|| {
                    // SAFETY: loom checks it.
                    other.value.with(|value| assert_eq!(unsafe { *value }, 1));
                });
            });
        });
        scene.retire();
        reader.join().unwrap();
        assert!(scene.retire());
        scene.end();
    });
}
