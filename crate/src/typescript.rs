//! TypeScript declarations of the types that cross the bindings (feature `typescript`).

use std::collections::BTreeMap;

use ts_rs::{Config, TS, TypeVisitor};

use crate::formats::{ChosenWeights, Example, ExamplesFormat, Placeholder, ReadExamples};
use crate::learn::{Assessment, LearnOptions, LearnResult, Setting, TuneOptions};
use crate::lora::{Composition, PeftFiles};
use crate::model::{Precision, Verified};
use crate::recipe::{LoadedHashes, Recipe, RecipeDraft};
use crate::registry::{
    Candidate, FoundModules, ModuleQuery, Registry, RegistryFile, RemoteFolder, Suggestion,
};
use crate::session::{
    BaseInfo, ErrorReport, Generated, GpuStatus, ModuleInfo, ModuleLoss, RouteOptions, Routed,
    Score, SessionEvent, StoredComposition, TestResult, TuneResult,
};

/// Declarations by name: the order in which types refer to each other changes from one compilation to
/// the next.
#[derive(Default)]
struct Declarations {
    config: Config,
    by_name: BTreeMap<String, String>,
}

impl TypeVisitor for Declarations {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        // Types without a file of their own are TypeScript's or stand in other declarations.
        if T::output_path().is_none() {
            return T::visit_dependencies(self);
        }
        let name = T::ident(&self.config);
        if self.by_name.contains_key(&name) {
            return;
        }
        let docs = T::docs().unwrap_or_default();
        let declaration = format!("\n{docs}export {}\n", T::decl(&self.config));
        self.by_name.insert(name, declaration);
        T::visit_dependencies(self);
    }
}

/// The declarations of every type that the bindings make or read, and of those that they refer to.
pub fn declarations() -> String {
    let mut all = Declarations::default();
    all.visit::<Assessment>();
    all.visit::<BaseInfo>();
    all.visit::<Candidate>();
    all.visit::<ChosenWeights>();
    all.visit::<Composition>();
    all.visit::<ErrorReport>();
    all.visit::<Example>();
    all.visit::<ExamplesFormat>();
    all.visit::<FoundModules>();
    all.visit::<Generated>();
    all.visit::<GpuStatus>();
    all.visit::<LearnOptions>();
    all.visit::<LearnResult>();
    all.visit::<LoadedHashes>();
    all.visit::<ModuleInfo>();
    all.visit::<ModuleLoss>();
    all.visit::<ModuleQuery>();
    all.visit::<PeftFiles>();
    all.visit::<Placeholder>();
    all.visit::<Precision>();
    all.visit::<ReadExamples>();
    all.visit::<Recipe>();
    all.visit::<RecipeDraft>();
    all.visit::<Registry>();
    all.visit::<RegistryFile>();
    all.visit::<RemoteFolder>();
    all.visit::<RouteOptions>();
    all.visit::<Routed>();
    all.visit::<Score>();
    all.visit::<SessionEvent>();
    all.visit::<Setting>();
    all.visit::<StoredComposition>();
    all.visit::<Suggestion>();
    all.visit::<TestResult>();
    all.visit::<TuneOptions>();
    all.visit::<TuneResult>();
    all.visit::<Verified>();
    let mut text = "// The types of the wasm engine: what it takes, returns and reports.\n\
         // Generated from the crate by pkg-scripts/generate-types: change them there.\n"
        .to_owned();
    text.extend(all.by_name.into_values());
    text
}
