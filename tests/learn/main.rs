//! Learning: the searches against the reference implementation, on analytic objectives and on a model,
//! and the run.

mod forward;
mod held;
mod model;
mod objectives;
mod reference;
mod run;
mod searches;
