//! The reduction of logits, and the end of a decoding step.

use super::layout::{AdvanceParams, LogitsParams};
use super::word;
use crate::kernels::gpu::pipelines::Kernel;
use crate::kernels::gpu::program::spread;
use crate::kernels::gpu::source::Constant;
use crate::kernels::gpu::{Buffer, Recorder};

impl Recorder<'_> {
    /// Reduces each row of logits, `[rows, columns]`, to a row of `states`, `[all rows, 4]`, from row `first`
    /// on: the largest logit and its token, and with labels the sum of exponentials relative to it and the
    /// label's logit. `labels` and their number, after which they repeat.
    pub fn logits(
        &mut self,
        logits: &Buffer,
        [rows, columns, first]: [usize; 3],
        labels: Option<(&Buffer, usize)>,
        states: &Buffer,
    ) {
        let constants = vec![("SUMMED", Constant::Flag(labels.is_some()))];
        let (labels, period) = labels.unwrap_or((logits, 1));
        let params = LogitsParams {
            rows: word(rows),
            columns: word(columns),
            first: word(first),
            period: word(period),
            zero: 0,
        };
        let [x, y] = spread(rows);
        self.dispatch(Kernel::Logits, constants, &params, &[logits, labels, states], [x, y, 1]);
    }

    /// Ends a decoding step: copies the tokens of `states` to `tokens` and to row `decoded` of `history`, and
    /// increments `decoded`.
    pub fn advance(
        &mut self,
        rows: usize,
        states: &Buffer,
        tokens: &Buffer,
        history: &Buffer,
        decoded: &Buffer,
    ) {
        let buffers = [states, tokens, history, decoded];
        let params = AdvanceParams { rows: word(rows) };
        self.dispatch(Kernel::Advance, vec![], &params, &buffers, [1, 1, 1]);
    }
}
