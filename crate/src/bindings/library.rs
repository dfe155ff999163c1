//! Bindings of what a page shares and fetches: recipes, addresses, and the files of a folder.

use wasm_bindgen::prelude::*;

use super::{from_js, thrown, to_js};
use crate::formats;
use crate::recipe::{LoadedHashes, Recipe, RecipeDraft, RecipeError, RecipeLibrary};
use crate::registry::{self, AddressError, RegistryBase, RegistryModule, RemoteFolder, Schemes};
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
        RecipeError::OtherVersion { .. } | RecipeError::OtherFiles { .. } => ErrorCode::Integrity,
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

/// The placeholder that a file is, by its first bytes; `null` for a file.
#[wasm_bindgen(js_name = detectPlaceholder, unchecked_return_type = "Placeholder | null")]
pub fn detect_placeholder(start: &[u8]) -> Result<JsValue, JsValue> {
    to_js(&formats::Placeholder::detect(start))
}

/// The folder that an id or an address names, on the hub of that address; `files`: whether `file:`
/// addresses can be read.
#[wasm_bindgen(js_name = resolveAddress, unchecked_return_type = "RemoteFolder")]
pub fn resolve_address(text: &str, hub: &str, files: bool) -> Result<JsValue, JsValue> {
    to_js(&RemoteFolder::parse(text, hub, schemes(files)).map_err(|error| address_error(&error))?)
}

/// The address of a hub in its one form; the default hub's for an empty text.
#[wasm_bindgen(js_name = hubAddress)]
pub fn hub_address(text: &str) -> Result<String, JsValue> {
    registry::hub_address(text).map_err(|error| address_error(&error))
}

/// The address of a registry's file, by that address or that of its folder; `files`: whether `file:`
/// addresses can be read.
#[wasm_bindgen(js_name = registryAddress)]
pub fn registry_address(text: &str, files: bool) -> Result<String, JsValue> {
    registry::registry_address(text, schemes(files)).map_err(|error| address_error(&error))
}

fn schemes(files: bool) -> Schemes {
    if files { Schemes::WebAndFiles } else { Schemes::Web }
}

/// The address of a file whose path is relative to that of a registry.
#[wasm_bindgen(js_name = fileBeside)]
pub fn file_beside(registry: &str, path: &str) -> String {
    registry::file_beside(registry, path)
}

fn address_error(error: &AddressError) -> JsValue {
    let (what, next) = match error {
        AddressError::Hub { .. } => ("The hub cannot be used.".into(), "Check the hub's address."),
        AddressError::Registry { .. } => {
            ("The module library cannot be opened.".into(), "Check the address of the library.")
        }
        AddressError::Source { found } => (
            format!("“{found}” names no model or adapter."),
            "Copy the id from the hub's page, or the address of the folder that holds the files.",
        ),
    };
    thrown(&ErrorReport::new(ErrorCode::InvalidInput, &what, &error.to_string(), next))
}
