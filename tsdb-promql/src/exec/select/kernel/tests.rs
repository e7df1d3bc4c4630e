//! Kernels against functions of one window at a time.
