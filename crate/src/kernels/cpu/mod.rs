//! Kernels of the CPU. An [`Isa`] exists only for an instruction set that this machine has, so every
//! kernel that takes one is safe to call.

mod attention;
mod float;
mod gradient;
mod int8;
mod math;
mod rows;

pub use attention::{HeadCache, Query, attend};
pub use float::{Operand, PackedF32, Store, product_f32};
pub use gradient::{
    HeadGradient, HeadGradientInput, attention_gradient, gated_gelu_gradient, relu_gradient,
    rms_norm_gradient, transposed,
};
pub use int8::{PackedInt8, QuantizedRows, Term, norm_rows, product_int8, quantize_rows};
pub(super) use math::ROUNDER;
pub use math::ln;
pub use rows::{argmax, exponentials, gated_gelu, largest, relu, rms_norm, scale_columns};

use std::fmt;
use std::sync::OnceLock;

/// Columns of the output that a panel of packed weights covers.
pub const PANEL: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    RelaxedPairs,
}

/// An instruction set that this machine has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Isa(Kind);

impl Isa {
    /// The instruction set of every machine of this target; the reference for the others.
    pub const PORTABLE: Isa = Isa(Kind::Portable);

    /// The fastest instruction set of this machine.
    pub fn fastest() -> Isa {
        static FASTEST: OnceLock<Isa> = OnceLock::new();
        *FASTEST.get_or_init(|| Isa::available().pop().unwrap_or(Isa::PORTABLE))
    }

    /// All instruction sets of this machine, the fastest last.
    pub fn available() -> Vec<Isa> {
        #[allow(unused_mut, reason = "only some targets have more than one")]
        let mut all = vec![Isa::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx2") {
                all.push(Isa(Kind::Avx2));
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512vnni")
                {
                    all.push(Isa(Kind::Avx512Vnni));
                }
            }
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        {
            // Both run on every engine.
            let fastest = usize::from(int8::relaxed_dot_uses_pairs());
            all.insert(fastest, Isa(Kind::RelaxedPairs));
        }
        all
    }

    /// The name in reports, such as `avx2`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable if cfg!(target_feature = "relaxed-simd") => "relaxed",
            Kind::Portable if cfg!(target_feature = "simd128") => "simd128",
            Kind::Portable => "portable",
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Kind::RelaxedPairs => "relaxed-pairs",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => "avx512-vnni",
        }
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Compiles a portable body, which must be `#[inline(always)]`, once for every instruction set; the
/// function's first argument selects one. The compiler vectorises each, and may neither reorder nor fuse
/// floating-point operations, so all results have the same bits.
macro_rules! vectorised {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $body:path
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name(isa: $crate::kernels::cpu::Isa, $($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments)]
                fn with_avx2($($arg: $type),*) {
                    $body($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
                #[allow(clippy::too_many_arguments)]
                fn with_avx512($($arg: $type),*) {
                    $body($($arg),*)
                }
                match isa.0 {
                    // SAFETY: an `Isa` of this kind exists only where the features were detected.
                    $crate::kernels::cpu::Kind::Avx2 => return unsafe { with_avx2($($arg),*) },
                    $crate::kernels::cpu::Kind::Avx512Vnni => {
                        // SAFETY: as above.
                        return unsafe { with_avx512($($arg),*) };
                    }
                    $crate::kernels::cpu::Kind::Portable => {}
                }
            }
            let _ = isa;
            $body($($arg),*)
        }
    };
}
use vectorised;
