//! The open device: its limits, buffers and faults, submission and readback.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::GpuError;
use super::pipelines::{Pipeline, PipelineKey};

/// A buffer on the device.
pub type Buffer = wgpu::Buffer;

/// An open GPU device.
#[derive(Debug)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    queue: wgpu::Queue,
    limits: wgpu::Limits,
    name: String,
    driver: String,
    timestamps: bool,
    pub(super) packed_dot: bool,
    pub(super) dot_seconds: Option<[f64; 2]>,
    fault: Arc<Mutex<Option<GpuError>>>,
    pub(super) pipelines: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    /// Bytes of all buffers created for kernels.
    #[cfg(test)]
    allocated: std::sync::atomic::AtomicU64,
}

impl Gpu {
    /// Opens the fastest GPU that the system or the browser offers.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] if there is none, or none with WebGPU's default limits; the device's fault,
    /// if one occurs while kernel variants are timed.
    pub async fn open() -> Result<Self, GpuError> {
        let no_adapter = |reason: String| GpuError::NoAdapter { reason };
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = instance
            .request_adapter(&wgpu::RequestAdapterOptions {
                power_preference: wgpu::PowerPreference::HighPerformance,
                ..Default::default()
            })
            .await
            .map_err(|error| no_adapter(error.to_string()))?;
        let offered = adapter.limits();
        // WebGPU's default limits, but the adapter's for buffers.
        let limits = wgpu::Limits {
            max_buffer_size: offered.max_buffer_size,
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            ..wgpu::Limits::default()
        };
        if !limits.check_limits(&offered) {
            return Err(no_adapter("its limits are below those of a WebGPU device".into()));
        }
        let timestamps = adapter.features() & wgpu::Features::TIMESTAMP_QUERY;
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("loraloom"),
                required_features: timestamps,
                required_limits: limits.clone(),
                ..Default::default()
            })
            .await
            .map_err(|error| no_adapter(error.to_string()))?;

        let fault = Arc::new(Mutex::new(None));
        let keep = |fault: &Mutex<Option<GpuError>>, error| {
            let mut fault = fault.lock().unwrap_or_else(PoisonError::into_inner);
            // The first fault causes the others, but commands to a lost device can be rejected before the
            // loss is reported.
            if fault.is_none() || matches!(error, GpuError::Lost { .. }) {
                *fault = Some(error);
            }
        };
        let kept = Arc::clone(&fault);
        device.on_uncaptured_error(Arc::new(move |error| {
            let error = match error {
                wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory,
                other => GpuError::Rejected { message: other.to_string() },
            };
            keep(&kept, error);
        }));
        let kept = Arc::clone(&fault);
        device.set_device_lost_callback(move |_, reason| keep(&kept, GpuError::Lost { reason }));
        let packed_dot = instance
            .wgsl_language_features()
            .contains(wgpu::WgslLanguageFeatures::Packed4x8IntegerDotProduct);
        let info = adapter.get_info();
        let mut gpu = Self {
            device,
            queue,
            limits,
            driver: format!("{} {} ({})", info.driver, info.driver_info, info.backend),
            name: info.name,
            timestamps: !timestamps.is_empty(),
            packed_dot,
            dot_seconds: None,
            fault,
            pipelines: Mutex::default(),
            #[cfg(test)]
            allocated: Default::default(),
        };
        gpu.choose_dot().await?;
        Ok(gpu)
    }

    /// The device without its packed product of bytes, for comparison.
    pub fn without_packed_dot(mut self) -> Self {
        self.packed_dot = false;
        self
    }

    /// The device with a limit on the size of a buffer, as a smaller device has.
    #[cfg(test)]
    pub(crate) fn with_buffers_up_to(mut self, bytes: u64) -> Self {
        self.limits.max_buffer_size = bytes;
        self
    }

    /// Bytes of all buffers created for kernels since the device was opened.
    #[cfg(test)]
    pub(crate) fn bytes_made(&self) -> u64 {
        self.allocated.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The device's name; empty in browsers that do not report it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The driver, its version and its API.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// Whether products use WGSL's packed product of four bytes.
    pub fn packed_dot(&self) -> bool {
        self.packed_dot
    }

    /// Seconds of the same product with packed and with unpacked bytes, of which the faster is used; `None`
    /// if the two were not timed.
    pub fn dot_seconds(&self) -> Option<[f64; 2]> {
        self.dot_seconds
    }

    /// Whether the device has timestamp queries.
    pub fn has_timestamps(&self) -> bool {
        self.timestamps
    }

    pub(super) fn seconds_per_tick(&self) -> f64 {
        f64::from(self.queue.get_timestamp_period()) * 1e-9
    }

    /// Allocated bytes of the device's memory; `None` in browsers, which manage it.
    #[cfg(feature = "bench")]
    pub fn bytes_in_use(&self) -> Option<u64> {
        Some(self.device.generate_allocator_report()?.total_allocated_bytes)
    }

    /// Limit in bytes on a buffer that a kernel can bind.
    pub fn largest_binding(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }

    /// Returns the first fault since the device was opened as an error.
    ///
    /// # Errors
    /// The fault. A device with a fault must not be used again.
    pub fn check(&self) -> Result<(), GpuError> {
        // Natively a loss is reported only while polling.
        #[cfg(not(target_arch = "wasm32"))]
        let _ = self.device.poll(wgpu::PollType::Poll);
        match &*self.fault.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(error) => Err(error.clone()),
        }
    }

    /// Destroys the device, as a system does that revokes it.
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// Checks the size of a buffer against [`Gpu::largest_binding`].
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub fn check_size(&self, what: &str, bytes: u64) -> Result<(), GpuError> {
        let limit = self.largest_binding();
        if bytes <= limit {
            return Ok(());
        }
        Err(GpuError::TooLarge { what: what.to_owned(), needed: bytes, limit })
    }

    /// Size in bytes of a buffer of `words` 32-bit values.
    pub fn buffer_bytes(words: usize) -> u64 {
        words.max(4) as u64 * 4
    }

    /// A buffer of `words` 32-bit values, all 0.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub fn zeros(&self, what: &str, words: usize) -> Result<Buffer, GpuError> {
        let size = Self::buffer_bytes(words);
        self.check_size(what, size)?;
        #[cfg(test)]
        self.allocated.fetch_add(size, std::sync::atomic::Ordering::Relaxed);
        Ok(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_DST
                | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        }))
    }

    /// A buffer that holds `values`.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub fn upload<T: bytemuck::Pod>(&self, what: &str, values: &[T]) -> Result<Buffer, GpuError> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let buffer = self.zeros(what, bytes.len() / 4)?;
        self.write(&buffer, values);
        Ok(buffer)
    }

    /// A uniform buffer that holds the parameters of dispatches.
    pub(super) fn upload_parameters(&self, bytes: &[u8]) -> Result<Buffer, GpuError> {
        let size = bytes.len().max(256) as u64;
        let limit = self.limits.max_buffer_size;
        if size > limit {
            let what = "a program's parameters".to_owned();
            return Err(GpuError::TooLarge { what, needed: size, limit });
        }
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters"),
            size,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.write(&buffer, bytes);
        Ok(buffer)
    }

    /// Overwrites the start of a buffer before the next submission.
    pub fn write<T: bytemuck::Pod>(&self, buffer: &Buffer, values: &[T]) {
        if !values.is_empty() {
            self.queue.write_buffer(buffer, 0, bytemuck::cast_slice(values));
        }
    }

    /// Waits until all uploads are complete.
    ///
    /// # Errors
    /// The device's fault, if one has occurred.
    pub async fn settle(&self) -> Result<(), GpuError> {
        let probe = self.zeros("a probe", 1)?;
        self.submit(|_| (), &probe, 0, 1).await.map(drop)
    }

    /// Submits the commands that `record` records, and returns `words` 32-bit values of `result` from value
    /// `first` on.
    ///
    /// # Errors
    /// The device's fault, if one has occurred.
    pub async fn submit(
        &self,
        record: impl FnOnce(&mut wgpu::CommandEncoder),
        result: &Buffer,
        first: usize,
        words: usize,
    ) -> Result<Vec<u32>, GpuError> {
        self.check()?;
        let size = words as u64 * 4;
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        record(&mut encoder);
        encoder.copy_buffer_to_buffer(result, first as u64 * 4, &staging, 0, size);
        self.queue.submit([encoder.finish()]);
        let (sender, receiver) = futures_channel::oneshot::channel();
        staging.slice(..).map_async(wgpu::MapMode::Read, move |mapped| {
            // The receiver is gone if the evaluation was dropped.
            let _ = sender.send(mapped);
        });
        // A browser calls back without polling.
        #[cfg(not(target_arch = "wasm32"))]
        if let Err(error) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            self.check()?;
            return Err(GpuError::Lost { reason: error.to_string() });
        }
        let mapped = receiver.await;
        self.check()?;
        let lost = |reason: String| GpuError::Lost { reason };
        match mapped {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(lost(error.to_string())),
            Err(_) => return Err(lost("the readback was cancelled".into())),
        }
        let view = staging.slice(..).get_mapped_range().map_err(|error| lost(error.to_string()))?;
        let values = view.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect();
        drop(view);
        staging.unmap();
        Ok(values)
    }
}
