//! Threads that start together and are waited for, under a watchdog.

use std::{
    io::{self, Write},
    panic, process,
    sync::{
        Barrier, Condvar, Mutex, Once, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

/// Runs a test, and ends the whole process, naming the test, if that takes longer: what
/// hangs can be ended in no other way. (Often it hangs because a thread has panicked that others
/// wait for. So the last panics are told, too.)
pub fn within<R>(seconds: u64, test: impl FnOnce() -> R) -> R {
    Panics::note();
    let (running, ended) = mpsc::channel::<()>();
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let watchdog = thread::spawn(move || {
        if ended.recv_timeout(Duration::from_secs(seconds)) == Err(RecvTimeoutError::Timeout) {
            // Not by a macro: their output is captured, and lost.
            let _ = writeln!(io::stderr(), "\nHANGS: {name} runs for {seconds} s by now");
            LAST_PANICS.lock().unwrap_or_else(PoisonError::into_inner).tell();
            process::abort();
        }
    });
    // A panic drops `running`, too.
    let result = test();
    drop(running);
    watchdog.join().unwrap();
    result
}

static LAST_PANICS: Mutex<Panics> = Mutex::new(Panics { texts: [[0; 4096]; 8], number: 0 });

/// The last panics of the process. Without the heap, for there are tests that count what is there.
struct Panics {
    texts: [[u8; 4096]; 8],
    /// Of all that there were.
    number: usize,
}

impl Panics {
    /// Notes all panics from now on.
    fn note() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let usual = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                let mut panics = LAST_PANICS.lock().unwrap_or_else(PoisonError::into_inner);
                let next = panics.number % panics.texts.len();
                panics.number += 1;
                let text = &mut panics.texts[next];
                text.fill(0);
                // What is too long is cut off.
                let _ = write!(&mut text[..], "{info}");
                drop(panics);
                usual(info);
            }));
        });
    }

    fn tell(&self) {
        let first = self.number.saturating_sub(self.texts.len());
        for number in first..self.number {
            let text = String::from_utf8_lossy(&self.texts[number % self.texts.len()]);
            let _ = writeln!(io::stderr(), "panic {}: {}", number + 1, text.trim_end_matches('\0'));
        }
    }
}

/// Runs `work(0)`, ..., `work(threads - 1)` on so many threads, which start together.
/// The first panic is passed on, when all have ended.
pub fn together(threads: usize, work: impl Fn(usize) + Sync) {
    race(threads, work, 0, |_| {});
}

/// Runs `write(0)`, ..., each once, on as many threads, and `read(0)`, ... over and over
/// on as many others until the writers have ended, and once more after that. All start
/// together.
pub fn race(
    writers: usize,
    write: impl Fn(usize) + Sync,
    readers: usize,
    read: impl Fn(usize) + Sync,
) {
    let start = Barrier::new(writers + readers);
    let until = Until::new(writers);
    let (start, until, write, read) = (&start, &until, &write, &read);
    thread::scope(|scope| {
        let mut handles = Vec::new();
        for i in 0..writers {
            handles.push(scope.spawn(move || {
                let _end = until.end_of_one();
                start.wait();
                write(i);
            }));
        }
        for i in 0..readers {
            handles.push(scope.spawn(move || {
                start.wait();
                loop {
                    let ended = until.ended();
                    read(i);
                    if ended {
                        break;
                    }
                }
            }));
        }
        for handle in handles {
            if let Err(payload) = handle.join() {
                panic::resume_unwind(payload);
            }
        }
    });
}

/// Tells some threads when all of certain others have ended, also by a panic.
pub struct Until(AtomicUsize);

impl Until {
    pub fn new(others: usize) -> Until {
        Until(AtomicUsize::new(others))
    }

    pub fn ended(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    /// To be held by one of the others as long as it runs.
    pub fn end_of_one(&self) -> impl Drop {
        struct End<'u>(&'u Until);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.0.fetch_sub(1, Ordering::Release);
            }
        }
        End(self)
    }
}

/// A door that threads wait at until it is opened for good.
#[derive(Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    arrived: usize,
    open: bool,
}

impl Gate {
    /// Waits until the gate is open.
    pub fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.arrived += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.open).unwrap());
    }

    /// Waits until so many have come to the gate.
    pub fn wait_for(&self, arrivals: usize) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.arrived < arrivals).unwrap());
    }

    pub fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    /// Opens the gate at the end of a scope, so that a panic there leaves nobody behind.
    pub fn open_at_end(&self) -> impl Drop {
        struct Open<'g>(&'g Gate);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.open();
            }
        }
        Open(self)
    }
}
