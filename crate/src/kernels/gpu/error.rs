//! Errors of the GPU.

/// Why the GPU cannot be used, or can no longer be used. In each case the CPU can take over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No usable GPU.
    #[error("no GPU can be used: {reason}")]
    NoAdapter {
        /// The message of the system or the browser.
        reason: String,
    },
    /// A buffer is larger than the device's limit.
    #[error("{what} needs {needed} bytes on the GPU, which allows {limit}")]
    TooLarge {
        /// Name of the buffer.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The device is out of memory.
    #[error("the GPU ran out of memory")]
    OutOfMemory,
    /// The device was lost: unplugged, reset, or taken away by the system or the browser.
    #[error("the GPU was lost: {reason}")]
    Lost {
        /// The message of the system or the browser.
        reason: String,
    },
    /// A result of the device differs from the CPU's.
    #[error("the GPU computes {what} as {found} where the CPU computes {expected}")]
    Disagrees {
        /// The value that was compared.
        what: String,
        /// The CPU's value.
        expected: String,
        /// The device's value.
        found: String,
    },
    /// The device rejected a command, because of a defect of this program or of the driver.
    #[error("the GPU rejected a command: {message}")]
    Rejected {
        /// The device's message.
        message: String,
    },
}
