//! What cannot be built, and what can.

use std::{error::Error, time::Duration};

use binlock::{
    ReaderCache,
    readers::{Builder, ConfigError, WhenFull},
};

use crate::{
    A,
    shelf::{Reader, Shelf, seconds},
};

fn error_of(with: impl FnOnce(Builder<u64, Reader>) -> Builder<u64, Reader>) -> ConfigError {
    with(ReaderCache::builder()).build().expect_err("it should not be built")
}

/// As long as cannot be counted in nanoseconds in 64 bits.
const AGES: Duration = Duration::from_secs(u64::MAX / 1_000_000_000 + 1);

#[test]
fn limits_of_zero_are_errors() {
    assert_eq!(error_of(|it| it.max_open(0)), ConfigError::ZeroLimit("max_open"));
    let weighed = error_of(|it| it.max_weight(0).weigher(|_, _| 1));
    assert_eq!(weighed, ConfigError::ZeroLimit("max_weight"));
    // Whatever else is right.
    let other = error_of(|it| it.max_open(0).time_to_live(seconds(1)));
    assert_eq!(other, ConfigError::ZeroLimit("max_open"));
}

#[test]
fn limits_beyond_counting_are_errors() {
    assert_eq!(error_of(|it| it.max_open(usize::MAX)), ConfigError::TooLarge("max_open"));
    assert_eq!(error_of(|it| it.max_open(1 << 60)), ConfigError::TooLarge("max_open"));
}

#[test]
fn times_of_zero_are_errors() {
    let zero = Duration::ZERO;
    let errors = [
        (error_of(|it| it.time_to_live(zero)), "time_to_live"),
        (error_of(|it| it.time_to_idle(zero)), "time_to_idle"),
        (error_of(|it| it.when_full(WhenFull::Wait(zero))), "when_full"),
        (
            error_of(|it| it.loader(|_| Err::<_, String>("".into())).refresh_after_write(zero)),
            "refresh_after_write",
        ),
    ];
    for (error, name) in errors {
        assert_eq!(error, ConfigError::ZeroTime(name));
    }
}

#[test]
fn absurd_times_are_errors() {
    for ages in [AGES, Duration::MAX] {
        let errors = [
            (error_of(|it| it.time_to_live(ages)), "time_to_live"),
            (error_of(|it| it.time_to_idle(ages)), "time_to_idle"),
            (error_of(|it| it.when_full(WhenFull::Wait(ages))), "when_full"),
            (
                error_of(|it| it.loader(|_| Err::<_, String>("".into())).refresh_after_write(ages)),
                "refresh_after_write",
            ),
        ];
        for (error, name) in errors {
            assert_eq!(error, ConfigError::TooLarge(name));
        }
    }
}

#[test]
fn a_limit_of_weight_needs_a_weigher() {
    assert_eq!(error_of(|it| it.max_weight(10)), ConfigError::NoWeigher);
}

#[test]
fn a_refresh_needs_a_loader() {
    assert_eq!(error_of(|it| it.refresh_after_write(seconds(1))), ConfigError::NoLoader);
    type Unbuilt = Builder<u64, Reader>;
    let with: [fn(Unbuilt) -> Unbuilt; 2] = [
        |it| it.loader(|_| Err::<_, String>("".into())),
        |it| it.async_loader(|_| std::future::ready(Err::<_, String>("".into()))),
    ];
    for with in with {
        let builder = with(ReaderCache::builder()).refresh_after_write(seconds(1));
        assert!(builder.build().is_ok());
    }
}

#[test]
fn errors_of_configuration_say_what_is_wrong() {
    let texts = [
        (error_of(|it| it.max_open(0)), "`max_open` is zero"),
        (error_of(|it| it.max_open(usize::MAX)), "`max_open` is too large"),
        (error_of(|it| it.time_to_idle(Duration::ZERO)), "`time_to_idle` is zero"),
        (error_of(|it| it.max_weight(1)), "needs a `weigher`"),
        (error_of(|it| it.refresh_after_write(seconds(1))), "needs a `loader`"),
    ];
    for (error, text) in texts {
        assert!(error.to_string().contains(text), "{error}");
        assert!(Error::source(&error).is_none());
    }
}

#[test]
fn the_least_and_the_greatest_of_all_settings_work() {
    let nano = Duration::from_nanos(1);
    let least = Shelf::new(|builder| {
        let builder = builder.max_open(1).max_weight(1).weigher(|_, _| 1);
        builder.time_to_live(nano).time_to_idle(nano).when_full(WhenFull::Wait(nano))
    });
    for _ in 0..10 {
        assert_eq!(least.open(A).read(), A);
    }
    least.clear();
    least.assert_adds_up();
    least.book.assert_all_closed();

    let ages = Duration::from_nanos(u64::MAX);
    let greatest = Shelf::new(|builder| {
        let builder = builder.max_open(isize::MAX as usize / 256).max_weight(u64::MAX);
        let builder = builder.weigher(|_, _| u64::MAX / 2).expire_after(|_, _| Some(Duration::MAX));
        let builder = builder.time_to_live(ages).time_to_idle(ages).when_full(WhenFull::Wait(ages));
        builder.loader(|_| Err::<_, String>("no".into())).refresh_after_write(ages)
    });
    greatest.open_idle(0..10);
    assert_eq!(greatest.len(), 2);
    assert_eq!(greatest.run_pending().count(), 0);
    greatest.assert_adds_up();
}

#[test]
fn without_any_limit_nothing_is_closed() {
    let shelf = Shelf::new(|builder| builder);
    shelf.open_idle(0..300);
    assert_eq!((shelf.len(), shelf.book.closed()), (300, 0));
}

#[test]
fn a_setting_that_is_made_twice_is_the_last() {
    let shelf = Shelf::new(|builder| {
        let builder = builder.max_open(0).max_open(3);
        builder.when_full(WhenFull::Fail).when_full(WhenFull::Exceed)
    });
    let held: Vec<_> = (0..5).map(|key| shelf.open(key)).collect();
    drop(held);
    assert_eq!(shelf.len(), 3);
}
