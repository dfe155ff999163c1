//! Bindings of what a page shares and fetches: recipes, and the weights of a folder.

use wasm_bindgen::prelude::*;

use super::{from_js, thrown, to_js};
use crate::formats;
use crate::recipe::{LoadedHashes, Recipe, RecipeDraft, RecipeError, RecipeLibrary};
use crate::registry::{RegistryBase, RegistryModule};
use crate::session::{Detail, ErrorCode, ErrorReport};

/// Builds the recipe of a composition of a registry's base and modules.
#[wasm_bindgen(js_name = makeRecipe, unchecked_return_type = "Recipe")]
pub fn make_recipe(
    #[wasm_bindgen(unchecked_param_type = "RecipeDraft")] draft: JsValue,
    #[wasm_bindgen(unchecked_param_type = "RegistryBase[]")] bases: JsValue,
    #[wasm_bindgen(unchecked_param_type = "RegistryModule[]")] modules: JsValue,
    #[wasm_bindgen(unchecked_param_type = "LoadedHashes")] loaded: JsValue,
) -> Result<JsValue, JsValue> {
    let draft: RecipeDraft = from_js(draft)?;
    let recipe = with_library(bases, modules, loaded, |library| Recipe::new(draft, library))?;
    to_js(&recipe.map_err(|error| {
        recipe_error(
            &error,
            "This composition cannot become a link.",
            "Learn with modules of the library only, or publish the module in a library first.",
        )
    })?)
}

/// Checks that a library has the base and modules of a recipe.
#[wasm_bindgen(js_name = checkRecipe)]
pub fn check_recipe(
    #[wasm_bindgen(unchecked_param_type = "Recipe")] recipe: JsValue,
    #[wasm_bindgen(unchecked_param_type = "RegistryBase[]")] bases: JsValue,
    #[wasm_bindgen(unchecked_param_type = "RegistryModule[]")] modules: JsValue,
    #[wasm_bindgen(unchecked_param_type = "LoadedHashes")] loaded: JsValue,
) -> Result<(), JsValue> {
    let recipe: Recipe = from_js(recipe)?;
    with_library(bases, modules, loaded, |library| recipe.check(library))?.map_err(|error| {
        recipe_error(
            &error,
            "This link does not fit the library that is open here.",
            &format!(
                "Open the link on the site where it was made, or with that site's library: {}",
                recipe.registry
            ),
        )
    })
}

fn recipe_error(error: &RecipeError, what: &str, next: &str) -> JsValue {
    let code = match error {
        RecipeError::Missing { .. } => ErrorCode::NotFound,
        RecipeError::NoHash { .. } => ErrorCode::NotLoaded,
        RecipeError::OtherVersion { .. } => ErrorCode::Integrity,
        _ => ErrorCode::InvalidInput,
    };
    let mut report = ErrorReport::new(code, what, &error.to_string(), next);
    if let RecipeError::Missing { kind, id }
    | RecipeError::NoHash { kind, id }
    | RecipeError::OtherVersion { kind, id, .. } = error
    {
        report.details.insert(kind.to_string(), Detail::Text(id.clone()));
    }
    thrown(&report)
}

fn with_library<T>(
    bases: JsValue,
    modules: JsValue,
    loaded: JsValue,
    call: impl FnOnce(RecipeLibrary<'_>) -> Result<T, RecipeError>,
) -> Result<Result<T, RecipeError>, JsValue> {
    let bases: Vec<RegistryBase> = from_js(bases)?;
    let modules: Vec<RegistryModule> = from_js(modules)?;
    let loaded: LoadedHashes = from_js(loaded)?;
    Ok(call(RecipeLibrary { bases: &bases, modules: &modules, loaded: &loaded }))
}

/// The weights to read of a folder with files of these names; `null` where there are none.
#[wasm_bindgen(js_name = chooseWeights, unchecked_return_type = "ChosenWeights | null")]
pub fn choose_weights(names: Vec<String>) -> Result<JsValue, JsValue> {
    to_js(&formats::choose_weights(&names))
}

/// File names of weights to probe on a host that lists none, best first.
#[wasm_bindgen(js_name = usualWeights)]
pub fn usual_weights() -> Vec<String> {
    formats::USUAL_WEIGHTS.map(String::from).to_vec()
}

/// The identity of weights, by the SHA-256 of each file; empty where one is empty.
#[wasm_bindgen(js_name = weightsIdentity)]
pub fn weights_identity(sha256s: Vec<String>) -> String {
    formats::weights_identity(&sha256s)
}
