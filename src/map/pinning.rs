//! The two ways in, as types: one implementation of what has both.

use std::ptr::NonNull;

use super::Ref;
use crate::epoch::{self, Guard, Pins as _};

/// How an [`Entry`](crate::Entry) hands out what is in the map: as [`Ref`]s that keep their
/// own pins ([`OwnPin`]), or as plain references under the pin of a
/// [`Pinned`](crate::Pinned) ([`LentPin`]).
///
/// Implemented for those two, and cannot be for others.
pub trait Pinning<'a>: Style<'a> {}

/// See [`Pinning`].
#[derive(Clone, Copy, Debug)]
pub struct OwnPin(());

/// See [`Pinning`].
#[derive(Clone, Copy)]
pub struct LentPin<'a>(&'a Guard);

impl OwnPin {
    pub(super) fn new() -> OwnPin {
        OwnPin(())
    }
}

impl<'a> LentPin<'a> {
    pub(super) fn new(guard: &'a Guard) -> LentPin<'a> {
        LentPin(guard)
    }
}

impl std::fmt::Debug for LentPin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LentPin")
    }
}

impl Pinning<'_> for OwnPin {}
impl<'a> Pinning<'a> for LentPin<'a> {}

pub(super) use self::sealed::Style;

mod sealed {
    use crate::{epoch::Pins, raw::Node};

    /// What is behind `Pinning`.
    pub trait Style<'a>: Copy {
        type Pins: Pins;
        /// An entry of the map.
        type Found<K: 'a, V: 'a>;

        fn pins(self) -> Self::Pins;

        /// For what may turn out to read only. See [`Pins::into_writing`].
        fn pins_to_read(self) -> Self::Pins;

        /// # Safety
        ///
        /// The node was found in a map that lives as long as `'a`, while `pins` was pinned,
        /// and it has been so since.
        unsafe fn found<K: 'a, V: 'a>(
            pins: Self::Pins,
            node: std::ptr::NonNull<Node<K, V>>,
        ) -> Self::Found<K, V>;
    }
}

impl<'a> Style<'a> for OwnPin {
    type Pins = Guard;
    type Found<K: 'a, V: 'a> = Ref<'a, K, V>;

    #[inline]
    fn pins(self) -> Guard {
        epoch::pin()
    }

    #[inline]
    fn pins_to_read(self) -> Guard {
        epoch::pin_to_read()
    }

    #[inline]
    unsafe fn found<K: 'a, V: 'a>(
        pins: Guard,
        node: NonNull<crate::raw::Node<K, V>>,
    ) -> Ref<'a, K, V> {
        Ref::new(node, pins)
    }
}

impl<'a> Style<'a> for LentPin<'a> {
    type Pins = &'a Guard;
    type Found<K: 'a, V: 'a> = &'a V;

    #[inline]
    fn pins(self) -> &'a Guard {
        self.0.into_writing()
    }

    #[inline]
    fn pins_to_read(self) -> &'a Guard {
        self.0
    }

    #[inline]
    unsafe fn found<K: 'a, V: 'a>(pins: &'a Guard, node: NonNull<crate::raw::Node<K, V>>) -> &'a V {
        let _ = pins.guard();
        // SAFETY: the guard keeps the node for `'a`, as the caller promises.
        unsafe { &node.as_ref().value }
    }
}
