//! Samples into windows, and windows into longer windows.
#![doc = include_str!("../../docs/downsampling.md")]

mod classify;
mod window;

pub use classify::form_of;
pub use window::{downsample, window_of, windows_of};
