//! Buffers of one pass of the model, which each thread keeps for the next pass, so that a learning
//! run allocates nothing after its first evaluation.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static F32: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
    static U8: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An element type of [`Scratch`] buffers.
pub trait Element: Copy + Default + 'static {
    /// Calls `with` with this thread's spare buffers.
    #[doc(hidden)]
    fn spare<R>(with: impl FnOnce(&mut Vec<Vec<Self>>) -> R) -> R;
}

impl Element for f32 {
    fn spare<R>(with: impl FnOnce(&mut Vec<Vec<f32>>) -> R) -> R {
        F32.with_borrow_mut(with)
    }
}

impl Element for u8 {
    fn spare<R>(with: impl FnOnce(&mut Vec<Vec<u8>>) -> R) -> R {
        U8.with_borrow_mut(with)
    }
}

/// A buffer of unspecified contents, returned to this thread's spare buffers when dropped.
#[derive(Debug, Default)]
pub struct Scratch<T: Element> {
    buffer: Vec<T>,
    len: usize,
}

impl<T: Element> Scratch<T> {
    /// A buffer of `len` elements, each of any value.
    pub fn new(len: usize) -> Self {
        // The smallest that is large enough, or else the largest, which is replaced by a larger one.
        let mut buffer = T::spare(|spare| {
            let best = (spare.iter().enumerate())
                .min_by_key(|(_, buffer)| (buffer.len() < len, buffer.len().abs_diff(len)))?;
            Some(spare.swap_remove(best.0))
        })
        .unwrap_or_default();
        if buffer.len() < len {
            buffer = vec![T::default(); len];
        }
        Self { buffer, len }
    }
}

impl<T: Element> Drop for Scratch<T> {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if !buffer.is_empty() {
            T::spare(|spare| spare.push(buffer));
        }
    }
}

impl<T: Element> Deref for Scratch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.buffer[..self.len]
    }
}

impl<T: Element> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.buffer[..self.len]
    }
}

/// Frees this thread's spare buffers.
pub fn release() {
    f32::spare(|spare| *spare = Vec::new());
    u8::spare(|spare| *spare = Vec::new());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_reused() {
        let first = Scratch::<f32>::new(1000);
        let place = first.as_ptr();
        drop(first);
        let small = Scratch::<f32>::new(7);
        assert_eq!((small.as_ptr(), small.len()), (place, 7));
        let other = Scratch::<f32>::new(1000);
        assert_ne!(other.as_ptr(), place);
        drop((small, other));
        assert_eq!(Scratch::<f32>::new(1000).len(), 1000);
    }
}
