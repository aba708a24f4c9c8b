//! Room for a decoded vector.

use std::ops::{Deref, DerefMut};

use super::VECTOR_LEN;

/// The values of a vector, aligned to a cache line. The kernels store registers of 32 and 64 bytes: in an array that
/// stands anywhere, every second or every one of these stores crosses a line, and decoding takes a fifth longer.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct VectorBuffer<T>([T; VECTOR_LEN]);

impl<T: Copy + Default> VectorBuffer<T> {
    /// On the heap: it is too large for most stack frames.
    pub fn boxed() -> Box<Self> {
        Box::new(Self([T::default(); VECTOR_LEN]))
    }
}

impl<T> Deref for VectorBuffer<T> {
    type Target = [T; VECTOR_LEN];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> DerefMut for VectorBuffer<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
