//! What can go wrong on the graphics card.

/// Why the graphics card cannot be used, or stopped being usable. In each case the CPU can take over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// There is no graphics card that can be used.
    #[error("no graphics card can be used: {reason}")]
    NoAdapter {
        /// What the system or the browser says.
        reason: String,
    },
    /// Something is larger than the device allows.
    #[error("{what} needs {needed} bytes on the graphics card, which allows {limit}")]
    TooLarge {
        /// What does not fit.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The device has no memory left.
    #[error("the graphics card ran out of memory")]
    OutOfMemory,
    /// The device was lost: unplugged, reset, or taken away by the system or the browser.
    #[error("the graphics card was lost: {reason}")]
    Lost {
        /// What the system or the browser says.
        reason: String,
    },
    /// The device computes something else than the CPU.
    #[error("the graphics card computes {what} as {found} where the CPU computes {expected}")]
    Disagrees {
        /// What was compared.
        what: String,
        /// The CPU's value.
        expected: String,
        /// The device's.
        found: String,
    },
    /// The device refused a command: a mistake in this program or in the driver.
    #[error("the graphics card refused a command: {message}")]
    Refused {
        /// The device's own words.
        message: String,
    },
}
