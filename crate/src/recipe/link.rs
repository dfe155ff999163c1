//! A recipe as the fragment of a link.
//!
//! The fragment is base64url without padding of
//!
//! | part | bytes |
//! |---|---|
//! | version | 1 |
//! | length of the recipe in bytes | a number |
//! | the recipe, as that version lays it out | |
//! | checksum: the first bytes of the SHA-256 of everything before it | 4 |
//!
//! A *number* is LEB128, a *text* its length in bytes and its UTF-8, a *hash* its length in bytes and
//! those. Every published version stays readable.
//!
//! Version 1: a byte of [`flags`]; registry (text); base id (text) and hash; number of modules, each
//! of them as the number of bytes that its id shares with the start of the id before, the rest of the
//! id (text), hash and weight (`f32`, little-endian); title (text); instruction (text), if the flags
//! say so; number of examples, each of them input and output (texts).
//!
//! Version 2: as version 1, but with the number of a module's weights, a byte, before them: 1, or 4 for
//! the groups of layers in the order of [`LayerGroup::ALL`].
//!
//! Version 3: as version 2, and at the end the scales of a tuned composition: their step (`f32`), their
//! number, and two in each byte, plus 8, the first in the lower half.
//!
//! Version 4: as version 2, and at the end the hash over all files of the base and the modules (16 bytes), then, if a
//! bit of the first byte says so, the scales as in version 3. The hashes of the earlier versions are those of weights.
//!
//! A recipe is written in the oldest version that holds it.

use base64::alphabet::URL_SAFE;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, engine::DecodePaddingMode};
use sha2::{Digest, Sha256};

use super::{
    FILES_DIGITS, MAX_EXAMPLES, MAX_MODULES, MAX_SCALES, Recipe, RecipeBase, RecipeError,
    RecipeModule, check_id, invalid,
};
use crate::formats::{Example, hex};
use crate::lora::{Merge, ModuleWeight, TunedScales};
use crate::model::Precision;

/// The newest version.
pub const VERSION: u8 = 4;
/// Bytes of the hash over all files.
const FILES_BYTES: usize = FILES_DIGITS / 2;
const CHECKSUM_BYTES: usize = 4;
/// The longest recipe that a link holds.
const MAX_RECIPE_BYTES: usize = 64 << 10;
/// The longest text that is searched for a damaged link.
const MAX_DAMAGED_BYTES: usize = 4 * MAX_RECIPE_BYTES;
/// Characters from which on a link surely has capital letters.
const MIXED_CASE_CHARACTERS: usize = 40;
/// [`decode`] checks the unused bits of the last character itself, to distinguish a link that was cut
/// short from one that was changed.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Bits of the first byte.
mod flags {
    pub const DELTA: u8 = 1;
    pub const INT8: u8 = 2;
    pub const INSTRUCTION: u8 = 4;
    /// In version 4; version 3 always has scales.
    pub const SCALES: u8 = 8;
}

/// Writes a recipe as the fragment of a link, without the `#`.
///
/// # Errors
/// [`RecipeError::Invalid`] for a recipe that [`Recipe::validate`] rejects or that is too long for a
/// link.
pub fn encode(recipe: &Recipe) -> Result<String, RecipeError> {
    recipe.validate()?;
    let version = version_of(recipe);
    let contents = write(recipe, version);
    if contents.len() > MAX_RECIPE_BYTES {
        let expected = format!("at most {MAX_RECIPE_BYTES} bytes long");
        let found = format!("{} bytes; leave out examples", contents.len());
        return Err(invalid("what the link holds", expected, found));
    }
    Ok(seal(version, &contents))
}

/// Puts version and length before the recipe, and the checksum after it.
pub(super) fn seal(version: u8, contents: &[u8]) -> String {
    let mut bytes = vec![version];
    write_number(&mut bytes, contents.len());
    bytes.extend(contents);
    bytes.extend(checksum(&bytes));
    BASE64.encode(bytes)
}

/// Reads the fragment of a link, or a whole link. What chat and mail programs do to links is undone
/// where the checksum confirms the result.
///
/// # Errors
/// A [`RecipeError`]: different ones for links that were cut short or changed, that are of a newer
/// version, and that do not contain a recipe.
pub fn decode(fragment: &str) -> Result<Recipe, RecipeError> {
    decode_exact(fragment).or_else(|error| {
        let repaired = repairs(fragment).into_iter().find_map(|link| decode_exact(&link).ok());
        repaired.ok_or(error)
    })
}

/// What a damaged link may have been: without its address, percent escapes, line breaks, quotation
/// and punctuation, and with the hyphens that dashes have replaced.
fn repairs(link: &str) -> Vec<String> {
    if link.len() > MAX_DAMAGED_BYTES {
        return Vec::new();
    }
    let link = percent_decoded(link);
    let fragment = link.rsplit_once('#').map_or(&*link, |(_, fragment)| fragment).trim();
    let first_word = fragment.split_whitespace().next().unwrap_or_default();
    let mut repairs = Vec::new();
    for text in [fragment, first_word] {
        for (em_dash, en_dash) in [("--", "-"), ("--", "--"), ("---", "--")] {
            let mut repaired = String::with_capacity(text.len());
            for character in text.chars() {
                match character {
                    '—' => repaired.push_str(em_dash),
                    '–' => repaired.push_str(en_dash),
                    '‐' | '‑' | '−' => repaired.push('-'),
                    allowed if is_allowed(allowed) => repaired.push(allowed),
                    _ => {}
                }
            }
            if !repairs.contains(&repaired) {
                repairs.push(repaired);
            }
        }
    }
    repairs
}

/// A text with its percent escapes decoded, twice for one that was escaped twice.
fn percent_decoded(text: &str) -> String {
    let decode = |text: &str| {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
            match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(escaped) if byte == b'%' => {
                    bytes.push(escaped);
                    rest = &after[2..];
                }
                _ => {
                    bytes.push(byte);
                    rest = after;
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    decode(&decode(text))
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '-' || character == '_'
}

/// Reads a fragment that nothing has changed; a leading `#` and blanks around it are ignored.
fn decode_exact(fragment: &str) -> Result<Recipe, RecipeError> {
    let fragment = fragment.trim();
    let fragment = fragment.strip_prefix('#').unwrap_or(fragment);
    if let Some((index, found)) = fragment.chars().enumerate().find(|&(_, c)| !is_allowed(c)) {
        return Err(RecipeError::Character { position: index + 1, found });
    }
    let found = fragment.len();
    let limit = characters(MAX_RECIPE_BYTES);
    if found > limit {
        return Err(RecipeError::TooLong { expected: limit, found });
    }
    // One character left over holds no whole byte.
    let whole = if found % 4 == 1 { &fragment[..found - 1] } else { fragment };
    let bytes = BASE64.decode(whole).map_err(|_| RecipeError::Changed)?;

    let cut_short = |expected: String| RecipeError::CutShort { expected, found };
    let unfinished = || cut_short("it should hold a recipe".into());
    let mut reader = Reader { bytes: &bytes };
    let version = match reader.byte().ok_or_else(unfinished)? {
        version @ 1..=VERSION => version,
        0 => return Err(RecipeError::Changed),
        // Base64 of a whole recipe has both cases; a program has changed them.
        _ if found >= MIXED_CASE_CHARACTERS && fragment == fragment.to_ascii_lowercase() => {
            return Err(RecipeError::Changed);
        }
        found => return Err(RecipeError::Version { found }),
    };
    let length = match reader.number() {
        Some(length) if length <= MAX_RECIPE_BYTES => length,
        None if reader.bytes.is_empty() => return Err(unfinished()),
        _ => return Err(RecipeError::Changed),
    };
    let expected = characters(length);
    if found < expected {
        return Err(cut_short(format!("it should be {expected} characters long")));
    }
    if found > expected {
        return Err(RecipeError::TooLong { expected, found });
    }
    let (signed, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(RecipeError::Changed)?;
    if checksum(signed) != *sum || BASE64.encode(&bytes) != fragment {
        return Err(RecipeError::Changed);
    }
    let recipe = read(&mut Reader { bytes: &signed[signed.len() - length..] }, version)?;
    recipe.validate()?;
    Ok(recipe)
}

/// Characters of the link of a recipe of so many bytes.
fn characters(recipe_bytes: usize) -> usize {
    let number_bytes = recipe_bytes.checked_ilog2().map_or(1, |bits| bits as usize / 7 + 1);
    let bytes = 1 + number_bytes + recipe_bytes + CHECKSUM_BYTES;
    (bytes * 4).div_ceil(3)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::digest(bytes);
    std::array::from_fn(|index| digest[index])
}

/// The oldest version that holds a recipe.
pub(super) fn version_of(recipe: &Recipe) -> u8 {
    if recipe.files.is_some() {
        return 4;
    }
    if recipe.scales.is_some() {
        return 3;
    }
    let single = |module: &RecipeModule| matches!(module.weight, ModuleWeight::All(_));
    if recipe.modules.iter().all(single) { 1 } else { 2 }
}

pub(super) fn write(recipe: &Recipe, version: u8) -> Vec<u8> {
    let flag = |on, bit| if on { bit } else { 0 };
    let merge = match recipe.merge {
        Merge::Lorahub => 0,
        Merge::Delta => flags::DELTA,
    };
    let precision = match recipe.precision {
        Precision::F32 => 0,
        Precision::Int8 => flags::INT8,
    };
    let mut bytes = vec![
        merge
            | precision
            | flag(recipe.instruction.is_some(), flags::INSTRUCTION)
            | flag(version > 3 && recipe.scales.is_some(), flags::SCALES),
    ];
    write_text(&mut bytes, &recipe.registry);
    write_text(&mut bytes, &recipe.base.id);
    write_hash(&mut bytes, &recipe.base.hash);
    write_number(&mut bytes, recipe.modules.len());
    let mut previous = "";
    for module in &recipe.modules {
        let same = |(a, b): &(u8, u8)| a == b;
        let shared = previous.bytes().zip(module.id.bytes()).take_while(same).count();
        write_number(&mut bytes, shared);
        // Ids are ASCII, so that every byte is a character.
        write_text(&mut bytes, &module.id[shared..]);
        write_hash(&mut bytes, &module.hash);
        let groups = module.weight.groups();
        let weights = match module.weight {
            ModuleWeight::All(_) => &groups[..1],
            ModuleWeight::Groups(_) => &groups[..],
        };
        if version > 1 {
            bytes.push(weights.len() as u8);
        }
        bytes.extend(weights.iter().flat_map(|weight| weight.to_le_bytes()));
        previous = &module.id;
    }
    write_text(&mut bytes, &recipe.title);
    if let Some(instruction) = &recipe.instruction {
        write_text(&mut bytes, instruction);
    }
    write_number(&mut bytes, recipe.examples.len());
    for example in &recipe.examples {
        write_text(&mut bytes, &example.input);
        write_text(&mut bytes, &example.output);
    }
    if let Some(files) = recipe.files.as_ref().filter(|_| version > 3) {
        bytes.extend(hash_bytes(files));
    }
    if let Some(scales) = recipe.scales.as_ref().filter(|_| version > 2) {
        bytes.extend(scales.step.to_le_bytes());
        write_number(&mut bytes, scales.values.len());
        let half = |value: &i8| (value + 8) as u8;
        let pair = |pair: &[i8]| half(&pair[0]) | pair.get(1).map_or(0, half) << 4;
        bytes.extend(scales.values.chunks(2).map(pair));
    }
    bytes
}

fn read(reader: &mut Reader<'_>, version: u8) -> Result<Recipe, RecipeError> {
    let broken = |what: &str, expected: &str| {
        let (what, expected) = (what.to_owned(), expected.to_owned());
        move || invalid(&what, expected, "something else")
    };
    let ended = |what: &str| broken(what, "there, whole");
    let flags = reader.byte().ok_or_else(ended("the first byte"))?;
    let has_scales = match version {
        1 | 2 => false,
        3 => true,
        _ => flags & flags::SCALES != 0,
    };
    let known = if version > 3 { 15 } else { 7 };
    if flags > known {
        return Err(invalid("the first byte", format!("at most {known}"), flags));
    }
    let registry = reader.text().ok_or_else(ended("the registry"))?;
    let base = RecipeBase {
        id: reader.text().ok_or_else(ended("the id of the base"))?,
        hash: reader.hash().ok_or_else(ended("the hash of the base"))?,
    };
    let count = reader.number().filter(|&count| count <= MAX_MODULES);
    let count = count
        .ok_or_else(broken("the number of modules", &format!("a number up to {MAX_MODULES}")))?;
    let mut modules: Vec<RecipeModule> = Vec::new();
    for index in 0..count {
        let of = |field: &str| format!("the {field} of module {}", index + 1);
        let previous = modules.last().map_or("", |module| &module.id);
        let shared = reader.number().and_then(|shared| previous.get(..shared));
        let shared = shared.ok_or_else(broken(&of("id"), "made of the one before"))?;
        let rest = reader.text().ok_or_else(ended(&of("id")))?;
        let id = format!("{shared}{rest}");
        // Checked here, because ids that repeat a long start would grow far beyond the link.
        check_id(&of("id"), &id)?;
        let hash = reader.hash().ok_or_else(ended(&of("hash")))?;
        let weights = if version == 1 { Some(1) } else { reader.byte() };
        let mut float = || reader.float().ok_or_else(ended(&of("weight")));
        let weight = match weights {
            Some(1) => ModuleWeight::All(float()?),
            Some(4) => ModuleWeight::from([float()?, float()?, float()?, float()?]),
            _ => return Err(invalid(&of("weight"), "1 or 4 numbers".into(), "something else")),
        };
        modules.push(RecipeModule { id, hash, weight });
    }
    let title = reader.text().ok_or_else(ended("the title"))?;
    let instruction = if flags & flags::INSTRUCTION == 0 {
        None
    } else {
        Some(reader.text().ok_or_else(ended("the instruction"))?)
    };
    let count = reader.number().filter(|&count| count <= MAX_EXAMPLES);
    let count = count
        .ok_or_else(broken("the number of examples", &format!("a number up to {MAX_EXAMPLES}")))?;
    let mut examples = Vec::new();
    for index in 0..count {
        let mut text = |field: &str| {
            reader.text().ok_or_else(ended(&format!("the {field} of example {}", index + 1)))
        };
        examples.push(Example { input: text("input")?, output: text("output")? });
    }
    let files = if version > 3 {
        let bytes = reader.take(FILES_BYTES).ok_or_else(ended("the hash of all files"))?;
        Some(hex(bytes))
    } else {
        None
    };
    let scales = if has_scales {
        let step = reader.float().ok_or_else(ended("the step of the scales"))?;
        let count = reader.number().filter(|&count| count <= MAX_SCALES);
        let count = count.ok_or_else(broken("the number of scales", "a number"))?;
        let pairs = reader.take(count.div_ceil(2)).ok_or_else(ended("the scales"))?;
        let values = pairs.iter().flat_map(|&pair| [pair & 15, pair >> 4]);
        let values = values.take(count).map(|half| half as i8 - 8).collect();
        Some(TunedScales { step, values })
    } else {
        None
    };
    if !reader.bytes.is_empty() {
        return Err(invalid("the end", "after the last part".into(), "more"));
    }
    Ok(Recipe {
        registry,
        base,
        modules,
        files,
        scales,
        merge: if flags & flags::DELTA == 0 { Merge::Lorahub } else { Merge::Delta },
        precision: if flags & flags::INT8 == 0 { Precision::F32 } else { Precision::Int8 },
        title,
        instruction,
        examples,
    })
}

fn write_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn write_text(bytes: &mut Vec<u8>, text: &str) {
    write_number(bytes, text.len());
    bytes.extend(text.bytes());
}

/// Writes a hash that [`Recipe::validate`] accepts.
fn write_hash(bytes: &mut Vec<u8>, hash: &str) {
    write_number(bytes, hash.len() / 2);
    bytes.extend(hash_bytes(hash));
}

/// The bytes of lower-case hexadecimal digits.
fn hash_bytes(hash: &str) -> impl Iterator<Item = u8> {
    let digit = |b: u8| if b.is_ascii_digit() { b - b'0' } else { b - b'a' + 10 };
    let (pairs, _) = hash.as_bytes().as_chunks::<2>();
    pairs.iter().map(move |[high, low]| digit(*high) << 4 | digit(*low))
}

/// Reads from the front of some bytes; every part is `None` if they do not hold it.
struct Reader<'b> {
    bytes: &'b [u8],
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    /// A number of at most 21 bits, which no length or count of a link exceeds.
    fn number(&mut self) -> Option<usize> {
        let mut number = 0;
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<String> {
        let length = self.number()?;
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        Some(text.to_owned())
    }

    fn hash(&mut self) -> Option<String> {
        let length = self.number()?;
        Some(hex(self.take(length)?))
    }

    fn float(&mut self) -> Option<f32> {
        self.take(4).and_then(|taken| taken.first_chunk()).copied().map(f32::from_le_bytes)
    }
}
