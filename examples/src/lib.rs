//! Programs that assemble the libraries. The programs are in `src/bin`; this library is empty.
