//! A pickle interpreter for state dictionaries. It supports tensors, numbers, strings and containers, and
//! cannot call code: it recognises the few globals that `torch.save` writes, and rejects any other by name.
//!
//! Values live in one arena and refer to each other by index, so that nesting and cycles in a hostile
//! file can neither exhaust the stack nor leak.
//!
//! Opcodes: CPython's `pickletools`. What the globals do: `torch/_utils.py`, `torch/serialization.py`.

use std::collections::BTreeMap;

use super::FORMAT;
use crate::formats::bytes::ByteReader;
use crate::formats::{FormatError, excerpt};

/// Limit on the pickle; a state dictionary has about 150 bytes per tensor.
const MAX_PICKLE_BYTES: usize = 4 << 20;
/// Limit on the values created, each of which takes up to 100 bytes; a tensor has about 15.
const MAX_VALUES: usize = 1 << 18;
/// Limit on the name of a tensor or storage.
const MAX_NAME_BYTES: usize = 256;
/// Limit on the dimensions of a tensor.
const MAX_DIMENSIONS: usize = 8;

/// A value. Containers are indices into the arena.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    None,
    Integer(i64),
    Float,
    /// Start and end of UTF-8 text in the pickle.
    Text(usize, usize),
    Global(Global),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

/// Globals that are recognised.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    /// A storage class, by its name in `torch`.
    Storage(&'static str),
}

/// Storage classes of `torch`: name and bytes of an element.
const STORAGES: [(&str, usize); 11] = [
    ("FloatStorage", 4),
    ("HalfStorage", 2),
    ("BFloat16Storage", 2),
    ("DoubleStorage", 8),
    ("LongStorage", 8),
    ("IntStorage", 4),
    ("ShortStorage", 2),
    ("CharStorage", 1),
    ("ByteStorage", 1),
    ("BoolStorage", 1),
    ("ComplexFloatStorage", 8),
];

/// A storage: the elements in an entry of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// Name of the class in `torch`, such as `FloatStorage`.
    pub(super) class: &'static str,
    /// Bytes of one element.
    pub(super) element_bytes: usize,
    /// Name of the entry under `data/`.
    pub(super) key: String,
    /// Number of elements.
    pub(super) elements: usize,
}

/// A tensor's position within a storage, in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// Interprets a pickle of a dictionary of tensors, and returns them by name.
pub(super) fn tensors(pickle: &[u8]) -> Result<BTreeMap<String, Tensor>, FormatError> {
    if pickle.len() > MAX_PICKLE_BYTES {
        return Err(invalid(
            "the length of data.pkl",
            format!("at most {MAX_PICKLE_BYTES} bytes"),
            pickle.len().to_string(),
        ));
    }
    let mut machine = Machine::new(pickle);
    let result = machine.run()?;
    let Value::Dict(dict) = result else {
        return Err(invalid(
            "its contents",
            "a dictionary of tensors (a state_dict)".into(),
            machine.describe(result),
        ));
    };
    let mut tensors = BTreeMap::new();
    for &(key, value) in &machine.dicts[dict] {
        let name = machine.name(key, "a key of the state_dict")?;
        let Value::Tensor(tensor) = value else {
            if let Value::Dict(inner) = value
                && machine.dicts[inner].iter().any(|(_, value)| matches!(value, Value::Tensor(_)))
            {
                return Err(FormatError::Unsupported {
                    what: format!("a dictionary of tensors inside another, as {}", excerpt(name)),
                    reason: "save the inner dictionary alone, which is the model's state_dict"
                        .into(),
                });
            }
            return Err(invalid(
                &format!("the value of {}", excerpt(name)),
                "a tensor".into(),
                machine.describe(value),
            ));
        };
        if tensors.contains_key(name) {
            return Err(invalid("each tensor", "named once".into(), excerpt(name)));
        }
        tensors.insert(name.to_owned(), machine.tensors[tensor].clone());
    }
    Ok(tensors)
}

struct Machine<'p> {
    pickle: &'p [u8],
    reader: ByteReader<'p>,
    stack: Vec<Value>,
    /// Heights of the stack at its marks.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
    /// Contents of tuples and lists.
    sequences: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    storages: Vec<Storage>,
    tensors: Vec<Tensor>,
    /// Number of values created, limited by [`MAX_VALUES`].
    created: usize,
}

impl<'p> Machine<'p> {
    fn new(pickle: &'p [u8]) -> Self {
        Self {
            pickle,
            reader: ByteReader::new(FORMAT, pickle),
            stack: vec![],
            marks: vec![],
            memo: BTreeMap::new(),
            sequences: vec![],
            dicts: vec![],
            storages: vec![],
            tensors: vec![],
            created: 0,
        }
    }

    fn run(&mut self) -> Result<Value, FormatError> {
        const WHAT: &str = "an instruction of data.pkl";
        loop {
            match self.reader.u8(WHAT)? {
                // PROTO, FRAME: ignored, as each opcode implies its protocol.
                0x80 => {
                    self.reader.u8(WHAT)?;
                }
                0x95 => {
                    self.reader.u64(WHAT)?;
                }
                b'.' => return self.pop(),
                b'(' => {
                    self.count(1)?;
                    self.marks.push(self.stack.len());
                }
                b'0' => {
                    self.pop()?;
                }
                b'1' => {
                    self.pop_mark()?;
                }
                b'N' => self.push(Value::None)?,
                0x88 => self.push(Value::Integer(1))?,
                0x89 => self.push(Value::Integer(0))?,
                b'J' => {
                    let value = self.reader.u32(WHAT)? as i32;
                    self.push(Value::Integer(value.into()))?;
                }
                b'K' => {
                    let value = self.reader.u8(WHAT)?;
                    self.push(Value::Integer(value.into()))?;
                }
                b'M' => {
                    let value = self.reader.u16(WHAT)?;
                    self.push(Value::Integer(value.into()))?;
                }
                0x8a => self.long()?,
                b'G' => {
                    self.reader.u64(WHAT)?;
                    self.push(Value::Float)?;
                }
                b'X' | b'T' => {
                    let length = self.reader.u32(WHAT)?;
                    self.push_text(length.into())?;
                }
                0x8c | b'U' => {
                    let length = self.reader.u8(WHAT)?;
                    self.push_text(length.into())?;
                }
                0x8d => {
                    let length = self.reader.u64(WHAT)?;
                    self.push_text(length)?;
                }
                b')' => self.push_tuple(vec![])?,
                0x85 => self.tuple_of(1)?,
                0x86 => self.tuple_of(2)?,
                0x87 => self.tuple_of(3)?,
                b't' => {
                    let items = self.pop_mark()?;
                    self.push_tuple(items)?;
                }
                b']' => {
                    self.sequences.push(vec![]);
                    self.push(Value::List(self.sequences.len() - 1))?;
                }
                b'}' => self.push_dict(vec![])?,
                b'a' => {
                    let item = self.pop()?;
                    self.extend_list(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.extend_list(items)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.extend_dict(vec![key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.extend_dict(items)?;
                }
                b'q' => {
                    let place = self.reader.u8(WHAT)?;
                    self.remember(place.into())?;
                }
                b'r' => {
                    let place = self.reader.u32(WHAT)?;
                    self.remember(place)?;
                }
                0x94 => self.remember(self.memo.len() as u32)?,
                b'h' => {
                    let place = self.reader.u8(WHAT)?;
                    self.recall(place.into())?;
                }
                b'j' => {
                    let place = self.reader.u32(WHAT)?;
                    self.recall(place)?;
                }
                b'c' => {
                    let module = self.line()?;
                    let name = self.line()?;
                    self.global(&module, &name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let name = self.text(name, "a global's name")?.to_owned();
                    let module = self.text(module, "a global's module")?.to_owned();
                    self.global(&module, &name)?;
                }
                b'Q' => self.persistent()?,
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                other => {
                    return Err(FormatError::Unsupported {
                        what: format!("pickle instruction 0x{other:02x}"),
                        reason: "a file of weights holds tensors and containers alone; save its \
                                 state_dict, or convert it to safetensors"
                            .into(),
                    });
                }
            }
        }
    }

    /// Counts created values.
    fn count(&mut self, values: usize) -> Result<(), FormatError> {
        self.created += values;
        if self.created > MAX_VALUES {
            return Err(invalid("data.pkl", format!("at most {MAX_VALUES} values"), "more".into()));
        }
        Ok(())
    }

    fn push(&mut self, value: Value) -> Result<(), FormatError> {
        self.count(1)?;
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, FormatError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(invalid("data.pkl", "a balanced stack".into(), "an empty one".into()));
        }
        // The floor is at least 0, so the stack holds a value.
        Ok(self.stack.pop().unwrap_or(Value::None))
    }

    fn pop_mark(&mut self) -> Result<Vec<Value>, FormatError> {
        let mark = self
            .marks
            .pop()
            .ok_or_else(|| invalid("data.pkl", "balanced marks".into(), "none set".into()))?;
        Ok(self.stack.split_off(mark))
    }

    fn push_text(&mut self, length: u64) -> Result<(), FormatError> {
        let text = self.reader.take(length, "a text of data.pkl")?;
        if std::str::from_utf8(text).is_err() {
            return Err(invalid("a text of data.pkl", "in UTF-8".into(), "other bytes".into()));
        }
        let end = self.reader.position();
        self.push(Value::Text(end - text.len(), end))
    }

    /// A line that ends with a newline, as in the instruction for globals.
    fn line(&mut self) -> Result<String, FormatError> {
        let mut line = Vec::new();
        loop {
            match self.reader.u8("a global of data.pkl")? {
                b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
                byte if line.len() < MAX_NAME_BYTES => line.push(byte),
                _ => {
                    let expected = format!("at most {MAX_NAME_BYTES} bytes long");
                    return Err(invalid("a global of data.pkl", expected, "more".into()));
                }
            }
        }
    }

    /// A little-endian signed integer of up to 8 bytes.
    fn long(&mut self) -> Result<(), FormatError> {
        const WHAT: &str = "an integer of data.pkl";
        let length = self.reader.u8(WHAT)?;
        let bytes = self.reader.take(length.into(), WHAT)?;
        if bytes.len() > 8 {
            return Err(invalid(WHAT, "at most 8 bytes long".into(), length.to_string()));
        }
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut extended = if negative { [0xff; 8] } else { [0; 8] };
        extended[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Integer(i64::from_le_bytes(extended)))
    }

    fn push_tuple(&mut self, items: Vec<Value>) -> Result<(), FormatError> {
        self.sequences.push(items);
        self.push(Value::Tuple(self.sequences.len() - 1))
    }

    fn push_dict(&mut self, pairs: Vec<(Value, Value)>) -> Result<(), FormatError> {
        self.dicts.push(pairs);
        self.push(Value::Dict(self.dicts.len() - 1))
    }

    fn tuple_of(&mut self, length: usize) -> Result<(), FormatError> {
        let mut items = vec![Value::None; length];
        for item in items.iter_mut().rev() {
            *item = self.pop()?;
        }
        self.push_tuple(items)
    }

    fn extend_list(&mut self, items: Vec<Value>) -> Result<(), FormatError> {
        match self.stack.last() {
            Some(&Value::List(list)) => {
                self.sequences[list].extend(items);
                Ok(())
            }
            other => Err(self.wrong("what is appended to", "a list", other.copied())),
        }
    }

    fn extend_dict(&mut self, items: Vec<Value>) -> Result<(), FormatError> {
        let (pairs, rest) = items.as_chunks::<2>();
        match self.stack.last() {
            Some(&Value::Dict(dict)) if rest.is_empty() => {
                self.dicts[dict].extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            other => Err(self.wrong("what takes keys and values", "a dictionary", other.copied())),
        }
    }

    fn remember(&mut self, place: u32) -> Result<(), FormatError> {
        self.count(1)?;
        let value = self.stack.last().copied();
        let value = value.ok_or_else(|| self.wrong("what is memoised", "a value", None))?;
        self.memo.insert(place, value);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), FormatError> {
        let value = self.memo.get(&place).copied();
        let value = value.ok_or_else(|| self.wrong("what is recalled", "memoised", None))?;
        self.push(value)
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), FormatError> {
        let storage = STORAGES.iter().find(|(class, _)| *class == name);
        let global = match (module, name, storage) {
            ("collections", "OrderedDict", _) => Global::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2", _) => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter", _) => Global::RebuildParameter,
            ("torch", "Size", _) => Global::Size,
            ("torch", _, Some((class, _))) => Global::Storage(class),
            _ => {
                return Err(FormatError::Unsupported {
                    what: format!("the pickled global {}", excerpt(&format!("{module}.{name}"))),
                    reason: "only tensors and containers are read and no code is run; save the \
                             state_dict alone, or convert it to safetensors"
                        .into(),
                });
            }
        };
        self.push(Value::Global(global))
    }

    /// The storage that a persistent id names: `("storage", class, key, location, elements)`.
    fn persistent(&mut self) -> Result<(), FormatError> {
        let id = self.pop()?;
        let wrong = |machine: &Self| machine.wrong("a persistent id", "a storage", Some(id));
        let Value::Tuple(tuple) = id else { return Err(wrong(self)) };
        let [kind, Value::Global(Global::Storage(class)), key, _, Value::Integer(elements)] =
            self.sequences[tuple][..]
        else {
            return Err(wrong(self));
        };
        if self.name(kind, "the kind of a persistent id")? != "storage" {
            return Err(wrong(self));
        }
        let key = self.name(key, "the key of a storage")?.to_owned();
        let elements = self.size(elements, "the length of a storage")?;
        let element_bytes = STORAGES.iter().find(|(name, _)| *name == class).map_or(0, |s| s.1);
        self.storages.push(Storage { class, element_bytes, key, elements });
        self.push(Value::Storage(self.storages.len() - 1))
    }

    /// The result of calling a recognised global.
    fn reduce(&mut self) -> Result<(), FormatError> {
        let arguments = self.pop()?;
        let called = self.pop()?;
        let Value::Tuple(tuple) = arguments else {
            return Err(self.wrong("the arguments of a call", "a tuple", Some(arguments)));
        };
        let items = self.sequences[tuple].clone();
        self.count(items.len())?;
        match (called, &items[..]) {
            (Value::Global(Global::OrderedDict), []) => self.push_dict(vec![]),
            (Value::Global(Global::OrderedDict), &[Value::List(list)]) => {
                let pairs = self.sequences[list]
                    .iter()
                    .map(|&pair| match pair {
                        Value::Tuple(pair) | Value::List(pair) => match self.sequences[pair][..] {
                            [key, value] => Ok((key, value)),
                            _ => Err(self.wrong("each item of an OrderedDict", "a pair", None)),
                        },
                        other => {
                            Err(self.wrong("each item of an OrderedDict", "a pair", Some(other)))
                        }
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                self.count(pairs.len())?;
                self.push_dict(pairs)
            }
            (Value::Global(Global::Size), &[sizes @ Value::Tuple(_)]) => self.push(sizes),
            (Value::Global(Global::RebuildParameter), &[tensor @ Value::Tensor(_), ..]) => {
                self.push(tensor)
            }
            (
                Value::Global(Global::RebuildTensor),
                &[Value::Storage(storage), Value::Integer(offset), shape, strides, ..],
            ) => {
                let tensor = Tensor {
                    storage: self.storages[storage].clone(),
                    offset: self.size(offset, "a tensor's offset")?,
                    shape: self.sizes(shape, "a tensor's shape")?,
                    strides: self.sizes(strides, "a tensor's strides")?,
                };
                if tensor.shape.len() != tensor.strides.len() {
                    return Err(invalid(
                        "a tensor's strides",
                        format!("one for each of {:?}", tensor.shape),
                        format!("{:?}", tensor.strides),
                    ));
                }
                self.tensors.push(tensor);
                self.push(Value::Tensor(self.tensors.len() - 1))
            }
            _ => Err(self.wrong(
                "a call",
                "of _rebuild_tensor_v2, _rebuild_parameter, OrderedDict or Size, as torch.save \
                 writes them",
                Some(called),
            )),
        }
    }

    /// Ignores the state of a dictionary (`_metadata`), which has no weights.
    fn build(&mut self) -> Result<(), FormatError> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_)) => Ok(()),
            other => Err(self.wrong("what takes a state", "a dictionary", other.copied())),
        }
    }

    fn text(&self, value: Value, what: &str) -> Result<&str, FormatError> {
        let Value::Text(start, end) = value else {
            return Err(self.wrong(what, "a text", Some(value)));
        };
        // Checked when it was pushed.
        Ok(std::str::from_utf8(&self.pickle[start..end]).unwrap_or_default())
    }

    /// A string of limited length.
    fn name(&self, value: Value, what: &str) -> Result<&str, FormatError> {
        let text = self.text(value, what)?;
        if text.len() > MAX_NAME_BYTES {
            let expected = format!("at most {MAX_NAME_BYTES} bytes long");
            return Err(invalid(what, expected, text.len().to_string()));
        }
        Ok(text)
    }

    fn size(&self, value: i64, what: &str) -> Result<usize, FormatError> {
        usize::try_from(value)
            .map_err(|_| invalid(what, "addressable and not negative".into(), value.to_string()))
    }

    fn sizes(&self, value: Value, what: &str) -> Result<Vec<usize>, FormatError> {
        let (Value::Tuple(items) | Value::List(items)) = value else {
            return Err(self.wrong(what, "a tuple", Some(value)));
        };
        let items = &self.sequences[items];
        if items.len() > MAX_DIMENSIONS {
            let expected = format!("of at most {MAX_DIMENSIONS} dimensions");
            return Err(invalid(what, expected, items.len().to_string()));
        }
        items
            .iter()
            .map(|&item| match item {
                Value::Integer(size) => self.size(size, what),
                other => Err(self.wrong(what, "of integers", Some(other))),
            })
            .collect()
    }

    fn describe(&self, value: Value) -> String {
        let name = match value {
            Value::None => "None",
            Value::Integer(_) => "an integer",
            Value::Float => "a number",
            Value::Text(..) => "a text",
            Value::Global(_) => "a class or function",
            Value::Tuple(_) => "a tuple",
            Value::List(_) => "a list",
            Value::Dict(_) => "a dictionary",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => "a tensor",
        };
        name.into()
    }

    fn wrong(&self, what: &str, expected: &str, found: Option<Value>) -> FormatError {
        let found = found.map_or("nothing".into(), |value| self.describe(value));
        invalid(&format!("{what} in data.pkl"), expected.into(), found)
    }
}

fn invalid(what: &str, expected: String, found: String) -> FormatError {
    FormatError::Invalid { format: FORMAT, what: what.into(), expected, found }
}
