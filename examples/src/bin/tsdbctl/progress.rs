//! How far long work is, in a line of the terminal. Nothing is shown where the standard error is none.

use indicatif::{ProgressBar, ProgressStyle};
use tsdb::verify::Progress;

/// A line that shows how much of a known amount is done.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Nothing is done yet; `unit` is what is counted, `bytes` for bytes.
    pub(crate) fn new(unit: &str) -> Self {
        let counted = match unit {
            "bytes" => "{bytes} of {total_bytes}, {bytes_per_sec}",
            _ => "{human_pos} of {human_len} {prefix}, {per_sec}",
        };
        let template = format!("{{percent:>3}} % [{{bar:30}}] {counted}, {{eta}} left {{wide_msg}}");
        let bar = ProgressBar::new(0).with_prefix(unit.to_owned());
        // A template that is none would be shown as the default one.
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// Shows `done` of `total`.
    pub(crate) fn set(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// Shows what verification, repair or inspection are at.
    pub(crate) fn show(&self, progress: &Progress) {
        self.set(progress.done, progress.total);
        self.0.set_message(progress.now.clone());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
