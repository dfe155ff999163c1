#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    loraloom_fuzz::structured::address(bytes);
});
