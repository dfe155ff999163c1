//! The structs that the shaders read, each in the layout of the WGSL struct of its kernels. A test
//! compares the two.

use bytemuck::{Pod, Zeroable};

/// A struct in the layout of a kernel's `Params`.
pub(in crate::kernels::gpu) trait Parameters: Pod {}

macro_rules! parameters {
    ($($name:ident of $($kernel:ident)+ { $($field:ident: $type:ident,)+ })+) => {
        $(
            #[repr(C)]
            #[derive(Clone, Copy, Pod, Zeroable)]
            pub(super) struct $name {
                $(pub(super) $field: $type,)+
            }
            impl Parameters for $name {}
        )+

        /// The layout of the parameters of each kernel.
        #[cfg(test)]
        fn layouts() -> Vec<(&'static [super::Kernel], tests::Layout)> {
            vec![$((&[$(super::Kernel::$kernel),+], layout!($name { $($field: $type,)+ }))),+]
        }
    };
}

/// The [`tests::Layout`] of a struct.
#[cfg(test)]
macro_rules! layout {
    ($name:ident { $($field:ident: $type:ident),+ $(,)? }) => {
        tests::Layout {
            fields: vec![$((
                stringify!($field).to_owned(),
                std::mem::offset_of!($name, $field),
                stringify!($type),
            ),)+],
            size: size_of::<$name>(),
        }
    };
}

parameters! {
    AddParams of Add { values: u32, }
    AdvanceParams of Advance { rows: u32, }
    AppendParams of Append {
        rows: u32,
        width: u32,
        x_stride: u32,
        x_offset: u32,
        capacity: u32,
    }
    AttentionParams of Attention {
        tasks: u32,
        q_stride: u32,
        kv_stride: u32,
        k_offset: u32,
        v_offset: u32,
        out_stride: u32,
        causal: u32,
        biased: u32,
        bias_width: u32,
        zero: u32,
    }
    EmbedParams of Embed {
        rows: u32,
        period: u32,
        width: u32,
        first: u32,
        count: u32,
    }
    FactorsParams of Factors {
        members: u32,
        row: u32,
        ranks: u32,
    }
    FloatParams of ProductF32 VectorF32 {
        rows: u32,
        columns: u32,
        depth: u32,
        x_stride: u32,
        x_offset: u32,
        w_stride: u32,
        w_offset: u32,
        w_member: u32,
        out_stride: u32,
        out_offset: u32,
        scaled: u32,
        factor_offset: u32,
        factor_member: u32,
        add: u32,
    }
    Int8Params of ProductInt8 VectorInt8 {
        rows: u32,
        columns: u32,
        int14_columns: u32,
        words: u32,
        blocks: u32,
        w_offset: u32,
        w_member: u32,
        scale_offset: u32,
        scale_member: u32,
        out_stride: u32,
        out_offset: u32,
        scaled: u32,
        factor_offset: u32,
        factor_member: u32,
        store: u32,
        zero: u32,
    }
    LogitsParams of Logits {
        rows: u32,
        columns: u32,
        first: u32,
        period: u32,
        zero: u32,
    }
    MergeParams of Merge {
        members: u32,
        modules: u32,
        values: u32,
        first: u32,
        step: u32,
        zero: u32,
    }
    QuantizeParams of Quantize {
        rows: u32,
        values: u32,
        words: u32,
        scales: u32,
        zero: u32,
    }
    RowsParams of Rows {
        rows: u32,
        width: u32,
        x_stride: u32,
        x_offset: u32,
        words: u32,
        blocks: u32,
        epsilon: f32,
        factor: f32,
        zero: u32,
    }
}

#[cfg(test)]
mod tests {
    use naga::{AddressSpace, Module, Scalar, Type, TypeInner};

    use super::super::{AttentionTask, Kernel, RankFactor, WeightRow};
    use super::*;
    use crate::kernels::gpu::operations::layout::tests;
    use crate::kernels::gpu::source::{Constant, source};

    /// Name, offset and type of each field, and the size in bytes.
    #[derive(Debug, PartialEq)]
    pub(super) struct Layout {
        pub(super) fields: Vec<(String, usize, &'static str)>,
        pub(super) size: usize,
    }

    /// The kernel's shader as naga parses it. The constants' values change no layout.
    fn module(kernel: Kernel, packed_dot: bool) -> Module {
        let (numbers, flags): (&[&str], &[&str]) = match kernel {
            Kernel::Attention => {
                (&["D_KV", "QUADS", "GROUPS", "KEYS", "KEYS_EACH", "LOADS", "COLUMNS"], &[])
            }
            Kernel::ProductInt8 => {
                (&["ROWS", "COLUMNS", "QUADS", "X_LOADS", "W_LOADS"], &["INT14"])
            }
            Kernel::VectorInt8 => (&["ROWS"], &["INT14"]),
            Kernel::ProductF32 => (&["ROWS", "COLUMNS"], &[]),
            Kernel::VectorF32 => (&["ROWS"], &[]),
            Kernel::Rows => (&["MODE"], &["QUANTIZE", "INT14"]),
            Kernel::Logits => (&[], &["SUMMED"]),
            Kernel::Merge => (&["MEMBERS"], &[]),
            _ => (&[], &[]),
        };
        let numbers = numbers.iter().map(|&name| (name, Constant::Number(1)));
        let flags = flags.iter().map(|&name| (name, Constant::Flag(true)));
        let constants: Vec<_> = numbers.chain(flags).collect();
        let text = source(&constants, &kernel.sources(packed_dot));
        naga::front::wgsl::parse_str(&text)
            .unwrap_or_else(|error| panic!("{kernel:?}: {}", error.emit_to_string(&text)))
    }

    /// The layout that WGSL gives a struct.
    fn wgsl_layout(module: &Module, of: &Type) -> Layout {
        let TypeInner::Struct { members, span } = &of.inner else { panic!("{of:?} is no struct") };
        let fields = members.iter().map(|member| {
            let scalar = match module.types[member.ty].inner {
                TypeInner::Scalar(Scalar::U32) => "u32",
                TypeInner::Scalar(Scalar::F32) => "f32",
                ref other => panic!("a field of type {other:?}"),
            };
            (member.name.clone().unwrap_or_default(), member.offset as usize, scalar)
        });
        Layout { fields: fields.collect(), size: *span as usize }
    }

    #[test]
    fn parameters_have_the_layout_of_their_shader() {
        for (kernels, expected) in layouts() {
            for (&kernel, packed_dot) in kernels.iter().flat_map(|k| [(k, false), (k, true)]) {
                let module = module(kernel, packed_dot);
                let (_, uniform) = (module.global_variables.iter())
                    .find(|(_, variable)| variable.space == AddressSpace::Uniform)
                    .expect("every kernel has parameters");
                let found = wgsl_layout(&module, &module.types[uniform.ty]);
                assert_eq!(found, expected, "{kernel:?}");
            }
        }
    }

    #[test]
    fn elements_of_storage_buffers_have_the_layout_of_their_shader() {
        for (kernel, name, expected) in [
            (
                Kernel::Attention,
                "Task",
                layout!(AttentionTask {
                    first_row: u32,
                    queries: u32,
                    first_position: u32,
                    key_row: u32,
                    keys: u32,
                }),
            ),
            (
                Kernel::Quantize,
                "Row",
                layout!(WeightRow { source: u32, width: u32, word: u32, scale: u32 }),
            ),
            (Kernel::Factors, "Rank", layout!(RankFactor { coefficient: u32, scaling: f32 })),
        ] {
            let module = module(kernel, false);
            let found = module.types.iter().find(|(_, found)| found.name.as_deref() == Some(name));
            let (_, found) = found.expect("the shader has the struct");
            assert_eq!(wgsl_layout(&module, found), expected, "{kernel:?}");
        }
    }
}
