//! SHA-256 digests as hexadecimal text.

use sha2::{Digest, Sha256};

/// SHA-256 of some bytes, as 64 lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

/// SHA-256 of the files of a base or a module, by the SHA-256 of each in a fixed order: `config.json`, the tokenizer,
/// the files beside it where they are read, the weights; or `adapter_config.json` and the weights. Empty where one of
/// them is not known.
pub fn files_sha256<S: AsRef<str>>(sha256s: &[S]) -> String {
    let hashes: Vec<&str> = sha256s.iter().map(AsRef::as_ref).collect();
    if hashes.iter().any(|hash| hash.is_empty()) {
        return String::new();
    }
    sha256_hex(hashes.join(" ").as_bytes())
}

/// A digest as lower-case hexadecimal digits.
pub fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
