//! How much one expansion may do.

/// Nodes evaluated, and what counts as many.
const STEPS: u32 = 200_000;
/// Bytes of the output.
pub(super) const OUTPUT: usize = 1 << 20;
/// Templates within templates.
const DEPTH: u32 = 100;
/// Steps that a query counts as.
pub(super) const QUERY: u32 = 2_000;
/// Steps that compiling a regular expression counts as.
pub(super) const REGEX: u32 = 1_000;
/// Bytes of a string made that count as one step.
const BYTES_PER_STEP: usize = 64;

/// What is left.
#[derive(Debug)]
pub(super) struct Budget {
    steps: u32,
    depth: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: STEPS, depth: DEPTH }
    }
}

impl Budget {
    /// Takes `steps` off.
    pub(super) fn spend(&mut self, steps: u32) -> Result<(), String> {
        let left = self.steps.checked_sub(steps);
        self.steps = left.ok_or_else(|| format!("the template takes more than {STEPS} steps"))?;
        Ok(())
    }

    /// Takes off what a string of `len` bytes costs.
    pub(super) fn spend_bytes(&mut self, len: usize) -> Result<(), String> {
        if len > OUTPUT {
            return Err(format!("a string has more than {OUTPUT} bytes"));
        }
        self.spend(u32::try_from(len / BYTES_PER_STEP).unwrap_or(u32::MAX))
    }

    /// Goes down into a template or a block.
    pub(super) fn enter(&mut self) -> Result<(), String> {
        let left = self.depth.checked_sub(1);
        self.depth = left.ok_or_else(|| format!("exceeded maximum template depth ({DEPTH})"))?;
        Ok(())
    }

    /// Comes back up.
    pub(super) fn leave(&mut self) {
        self.depth = self.depth.saturating_add(1);
    }
}
