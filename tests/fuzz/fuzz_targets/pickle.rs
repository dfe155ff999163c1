#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    loraloom_fuzz::check(loraloom_fuzz::readers::pickle, bytes);
});
