#![no_main]

libfuzzer_sys::fuzz_target!(|input: binlock_fuzz::map_ops::Input| {
    binlock_fuzz::map_ops::run(&input);
});
