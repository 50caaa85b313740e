//! User code that does to order what it should not: the `n`th call of some kind on this
//! thread panics, or the first calls of some kind do something else first.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    mem,
    panic::{self, AssertUnwindSafe},
    thread,
};

/// A kind of user code that a map calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Site {
    Hash,
    Eq,
    Clone,
    Drop,
    Closure,
}

impl Site {
    pub const ALL: [Site; 5] = [Site::Hash, Site::Eq, Site::Clone, Site::Drop, Site::Closure];
}

thread_local! {
    // Without a destructor.
    static FUSE: Cell<Option<(Site, u64)>> = const { Cell::new(None) };
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// What calls of some kind do first.
struct Hook {
    site: Site,
    action: Box<dyn FnMut() -> bool>,
}

/// What the panics carry.
struct Injected;

/// From now on, the call with this number (from 0) of this kind panics. Just that one.
pub fn arm(site: Site, call: u64) {
    FUSE.set(Some((site, call)));
}

/// Whether the panic is still to come; it will not any more.
pub fn disarm() -> bool {
    FUSE.take().is_some()
}

/// Runs `f` without faults and hooks, and without counting its calls.
pub fn without<R>(f: impl FnOnce() -> R) -> R {
    let (fuse, hook) = (FUSE.take(), HOOK.take());
    let result = f();
    FUSE.set(fuse);
    HOOK.set(hook);
    result
}

/// Runs `f`; as long as it runs, each call of this kind runs `action` first, until that
/// says that it was the last time. Not in what `action` itself calls.
pub fn hooked<R>(site: Site, action: impl FnMut() -> bool, f: impl FnOnce() -> R) -> R {
    struct Unhook;
    impl Drop for Unhook {
        fn drop(&mut self) {
            HOOK.set(None);
        }
    }
    let action: Box<dyn FnMut() -> bool + '_> = Box::new(action);
    // SAFETY: only the lifetime changes. The hook is gone before this returns, whether `f`
    // panics or not, so it is not called or dropped when what it borrows is no more.
    let action = unsafe {
        mem::transmute::<Box<dyn FnMut() -> bool + '_>, Box<dyn FnMut() -> bool>>(action)
    };
    let _unhook = Unhook;
    HOOK.set(Some(Hook { site, action }));
    f()
}

/// User code of some kind is called.
pub fn point(site: Site) {
    let hook = HOOK.with(|hook| hook.try_borrow_mut().ok()?.take_if(|hook| hook.site == site));
    if let Some(mut hook) = hook {
        let again = (hook.action)();
        if again {
            HOOK.set(Some(hook));
        }
    }
    match FUSE.get() {
        Some((at, calls)) if at == site && !thread::panicking() => {
            if calls == 0 {
                FUSE.set(None);
                // Not `panic!`: no message for something so common.
                panic::resume_unwind(Box::new(Injected));
            }
            FUSE.set(Some((at, calls - 1)));
        }
        _ => {}
    }
}

/// What such a panic carries, for code that has caught one and passes it on.
pub fn payload() -> Box<dyn Any + Send> {
    Box::new(Injected)
}

/// Runs `f`; `None` if it ends by a panic to order. Other panics go on.
pub fn caught<R>(f: impl FnOnce() -> R) -> Option<R> {
    match panic::catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => Some(result),
        Err(payload) if payload.is::<Injected>() => None,
        Err(payload) => panic::resume_unwind(payload),
    }
}
