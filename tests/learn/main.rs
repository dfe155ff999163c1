//! Learning without a model: the searches against the reference implementation, and the run.

mod objectives;
mod reference;
mod run;
mod searches;
