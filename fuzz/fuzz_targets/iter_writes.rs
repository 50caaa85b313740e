#![no_main]

libfuzzer_sys::fuzz_target!(|input: binlock_fuzz::iter_writes::Input| {
    binlock_fuzz::iter_writes::run(&input);
});
