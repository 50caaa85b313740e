#![no_main]

libfuzzer_sys::fuzz_target!(|input: binlock_fuzz::computations::Input| {
    binlock_fuzz::computations::run(&input);
});
