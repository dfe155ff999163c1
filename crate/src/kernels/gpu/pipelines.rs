//! The kernels' pipelines: their sources, compile-time constants and bindings.

use std::sync::{Arc, PoisonError};

use super::Gpu;
use super::source::{Constant, source};
use super::timing::TimeKind;

/// How a kernel accesses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Parameters,
    Read,
    Write,
}

/// A kernel, named for its file in `shaders/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kernel {
    Embed,
    Rows,
    Add,
    ProductInt8,
    VectorInt8,
    ProductF32,
    VectorF32,
    Attention,
    Append,
    Logits,
    Advance,
    Merge,
    Factors,
    Quantize,
}

impl Kernel {
    fn name(self) -> &'static str {
        match self {
            Kernel::Embed => "embed",
            Kernel::Rows => "rows",
            Kernel::Add => "add",
            Kernel::ProductInt8 => "product_int8",
            Kernel::VectorInt8 => "vector_int8",
            Kernel::ProductF32 => "product_f32",
            Kernel::VectorF32 => "vector_f32",
            Kernel::Attention => "attention",
            Kernel::Append => "append",
            Kernel::Logits => "logits",
            Kernel::Advance => "advance",
            Kernel::Merge => "merge",
            Kernel::Factors => "factors",
            Kernel::Quantize => "quantize",
        }
    }

    /// The kind under which its time is counted.
    pub(super) fn time_kind(self) -> TimeKind {
        match self {
            Kernel::ProductInt8 | Kernel::VectorInt8 | Kernel::ProductF32 | Kernel::VectorF32 => {
                TimeKind::Products
            }
            Kernel::Attention => TimeKind::Attention,
            _ => TimeKind::Rest,
        }
    }

    pub(super) fn sources(self, packed_dot: bool) -> [&'static str; 4] {
        let dot = if packed_dot {
            include_str!("shaders/packed_dot.wgsl")
        } else {
            include_str!("shaders/unpacked_dot.wgsl")
        };
        let float = include_str!("shaders/float_params.wgsl");
        let int8 = include_str!("shaders/int8_params.wgsl");
        let exact = include_str!("shaders/exact.wgsl");
        let of = |kernel: &'static str| ["", "", "", kernel];
        let exact_of = |kernel: &'static str| ["", "", exact, kernel];
        let summing =
            |kernel: &'static str| ["", exact, include_str!("shaders/lanes.wgsl"), kernel];
        match self {
            Kernel::Embed => of(include_str!("shaders/embed.wgsl")),
            Kernel::Rows => summing(include_str!("shaders/rows.wgsl")),
            Kernel::Add => of(include_str!("shaders/add.wgsl")),
            Kernel::ProductInt8 => [dot, exact, int8, include_str!("shaders/product_int8.wgsl")],
            Kernel::VectorInt8 => [dot, exact, int8, include_str!("shaders/vector_int8.wgsl")],
            Kernel::ProductF32 => ["", "", float, include_str!("shaders/product_f32.wgsl")],
            Kernel::VectorF32 => ["", "", float, include_str!("shaders/vector_f32.wgsl")],
            Kernel::Attention => exact_of(include_str!("shaders/attention.wgsl")),
            Kernel::Append => of(include_str!("shaders/append.wgsl")),
            Kernel::Logits => summing(include_str!("shaders/logits.wgsl")),
            Kernel::Advance => of(include_str!("shaders/advance.wgsl")),
            Kernel::Merge => exact_of(include_str!("shaders/merge.wgsl")),
            Kernel::Factors => of(include_str!("shaders/factors.wgsl")),
            Kernel::Quantize => exact_of(include_str!("shaders/quantize.wgsl")),
        }
    }

    /// Number of bindings that the kernel reads and, after them, writes. Binding 0 holds its parameters.
    fn reads_and_writes(self) -> (usize, usize) {
        match self {
            Kernel::Embed => (2, 1),
            Kernel::Rows => (2, 4),
            Kernel::Add => (1, 1),
            Kernel::ProductInt8 | Kernel::VectorInt8 => (6, 1),
            Kernel::ProductF32 | Kernel::VectorF32 => (3, 1),
            Kernel::Attention => (5, 1),
            Kernel::Append | Kernel::Logits => (2, 1),
            Kernel::Advance => (1, 3),
            Kernel::Merge | Kernel::Factors => (2, 1),
            Kernel::Quantize => (2, 2),
        }
    }
}

/// A kernel and its compile-time constants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PipelineKey {
    pub(super) kernel: Kernel,
    pub(super) constants: Vec<(&'static str, Constant)>,
}

/// A compiled kernel.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

impl Gpu {
    /// The kernel's pipeline, compiled on first use.
    #[allow(clippy::arc_with_non_send_sync, reason = "it is `Send` natively only")]
    pub(super) fn pipeline(&self, key: PipelineKey) -> Arc<Pipeline> {
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(pipelines.entry(key.clone()).or_insert_with(|| Arc::new(self.compile(&key))))
    }

    fn compile(&self, key: &PipelineKey) -> Pipeline {
        let label = Some(key.kernel.name());
        let text = source(&key.constants, &key.kernel.sources(self.packed_dot()));
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label,
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
        let (reads, writes) = key.kernel.reads_and_writes();
        let accesses = std::iter::once(Access::Parameters)
            .chain(std::iter::repeat_n(Access::Read, reads))
            .chain(std::iter::repeat_n(Access::Write, writes));
        let entries: Vec<wgpu::BindGroupLayoutEntry> = (0..)
            .zip(accesses)
            .map(|(binding, access)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: match access {
                        Access::Parameters => wgpu::BufferBindingType::Uniform,
                        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
                        Access::Write => wgpu::BufferBindingType::Storage { read_only: false },
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label,
            entries: &entries,
        });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        });
        Pipeline { pipeline, layout }
    }
}
