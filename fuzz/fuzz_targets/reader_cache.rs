#![no_main]

libfuzzer_sys::fuzz_target!(|input: binlock_fuzz::reader_cache::Input| {
    binlock_fuzz::reader_cache::run(&input);
});
