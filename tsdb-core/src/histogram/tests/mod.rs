//! The histogram model against cases of Prometheus' own scripts, laws, and a naive twin.
