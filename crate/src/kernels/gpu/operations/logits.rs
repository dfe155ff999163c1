//! What is kept of logits, and the end of a decoding step.

use super::word;
use crate::kernels::gpu::pipelines::Kernel;
use crate::kernels::gpu::program::spread;
use crate::kernels::gpu::source::Constant;
use crate::kernels::gpu::{Buffer, Recorder};

impl Recorder<'_> {
    /// Keeps of each row of logits, `[rows, columns]`, in `states`, `[all rows, 4]` from row `first`
    /// on: the largest, its token and, where labels are given, the sum of exponentials relative to it
    /// and the label's logit. Labels are given for the first `period` of all rows and repeat.
    pub fn logits(
        &mut self,
        logits: &Buffer,
        [rows, columns, first]: [usize; 3],
        labels: Option<(&Buffer, usize)>,
        states: &Buffer,
    ) {
        let constants = vec![("SUMMED", Constant::Flag(labels.is_some()))];
        let (labels, period) = labels.unwrap_or((logits, 1));
        let params = [rows, columns, first, period, 0].map(word);
        let [x, y] = spread(rows);
        self.dispatch(Kernel::Logits, constants, &params, &[logits, labels, states], [x, y, 1]);
    }

    /// Ends a decoding step: the tokens of `states` become `tokens` and a row of `history`, and
    /// `decoded` counts on.
    pub fn advance(
        &mut self,
        rows: usize,
        states: &Buffer,
        tokens: &Buffer,
        history: &Buffer,
        decoded: &Buffer,
    ) {
        let buffers = [states, tokens, history, decoded];
        self.dispatch(Kernel::Advance, vec![], &word(rows), &buffers, [1, 1, 1]);
    }
}
