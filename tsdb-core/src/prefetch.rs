//! Having memory fetched that will be needed, without waiting for it.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "there is no safe way to ask for it, and waiting costs a sample a tenth of its time"
    )
)]

/// Has the line of memory fetched in which `bytes` end. Says nothing and changes nothing; where processors have no way to
/// ask for it, nothing happens.
#[inline]
pub(crate) fn end_of(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(last) = bytes.last() {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = core::ptr::from_ref(last).cast();
        // SAFETY: a prefetch loads into the cache alone and faults at no address; all x86-64 processors have it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _: &[u8] = bytes;
}
