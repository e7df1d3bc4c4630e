//! What the parser accepts, and how much of it.

/// Which parts of the language are switched on, and the limits of the parser. The defaults are those of a Prometheus
/// server without feature flags.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseOptions {
    /// `promql-experimental-functions`: the functions and aggregations that Prometheus calls experimental.
    /// Default off.
    pub experimental_functions: bool,
    /// `promql-duration-expr`: arithmetic in durations. Default on, as in Prometheus 3.14.
    pub duration_expressions: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`. Default off.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left` and `fill_right`. Default off.
    pub fill_modifiers: bool,
    /// The longest text, bytes. Default 512 KiB.
    pub max_length_bytes: usize,
    /// How deep parentheses, calls and operands may nest. Default 100.
    ///
    /// The parser recurses into what is nested, and so does whoever walks the tree; the default keeps within the
    /// 2 MiB of stack that threads commonly have, also in an unoptimised build. Raise it only with the stack.
    pub max_depth: usize,
    /// The tallest tree: what is nested and, above it, chains of operators such as `a or b or c`. Default 2 000.
    ///
    /// The parser and the tree handle chains in loops. The engine evaluates tall trees on threads of its own with
    /// stacks that fit, 16 KiB for each level; memory is taken only as far as they are used.
    pub max_height: usize,
    /// The most expressions in one text. Default 20 000.
    pub max_nodes: usize,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self {
            experimental_functions: false,
            duration_expressions: true,
            extended_range_selectors: false,
            fill_modifiers: false,
            max_length_bytes: 512 * 1024,
            max_depth: 100,
            max_height: 2_000,
            max_nodes: 20_000,
        }
    }
}

impl ParseOptions {
    /// Everything that the language has, experimental or not.
    pub fn all_features() -> Self {
        Self {
            experimental_functions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            ..Self::default()
        }
    }
}
