#![no_main]

libfuzzer_sys::fuzz_target!(|input: binlock_fuzz::histories::Input| {
    binlock_fuzz::histories::run(&input);
});
