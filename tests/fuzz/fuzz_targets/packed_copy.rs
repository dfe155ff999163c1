#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    loraloom_fuzz::structured::packed_copy(bytes);
});
