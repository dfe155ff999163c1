//! A preprocessor for the kernels' WGSL: constants, repeated lines and conditional lines. WGSL compilers
//! add bounds checks to loops and indices, so a loop over an array is not unrolled and its array not kept
//! in registers; repeated lines with numbered variables are.
//!
//! ```text
//! #repeat i ROWS       the lines for each number below the constant ROWS (or 4), which replaces $i
//! #if INT14            the lines only if the constant INT14 is true
//! #end
//! ```

use std::fmt::Write;

/// The value of a constant in a kernel's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Constant {
    Number(u32),
    Flag(bool),
}

/// A kernel's source: its constants, then its preprocessed parts.
///
/// # Panics
/// If a directive has no `#end` or names no constant of its kind, a defect of the kernel.
pub(super) fn source(constants: &[(&'static str, Constant)], parts: &[&str]) -> String {
    let mut text = String::new();
    for (name, constant) in constants {
        match constant {
            Constant::Number(value) => writeln!(text, "const {name}: u32 = {value}u;"),
            Constant::Flag(value) => writeln!(text, "const {name}: bool = {value};"),
        }
        .expect("writing to a string succeeds");
    }
    for part in parts {
        let lines: Vec<&str> = part.lines().collect();
        expand(&lines, constants, &[], &mut text);
    }
    text
}

/// Appends the preprocessed lines to `text`; `numbers` are the values of the enclosing repeats.
fn expand(
    lines: &[&str],
    constants: &[(&'static str, Constant)],
    numbers: &[(&str, u32)],
    text: &mut String,
) {
    let constant = |name: &str| {
        constants.iter().find(|(other, _)| *other == name).map(|&(_, constant)| constant)
    };
    let mut rest = lines;
    while let [line, after @ ..] = rest {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["#repeat", name, count] => {
                let (body, following) = split_at_end(after);
                let count = match (constant(count), count.parse()) {
                    (Some(Constant::Number(count)), _) | (None, Ok(count)) => count,
                    _ => panic!("{line}: no number has that name"),
                };
                for number in 0..count {
                    let numbers = [numbers, &[(name, number)]].concat();
                    expand(body, constants, &numbers, text);
                }
                rest = following;
            }
            ["#if", name] => {
                let (body, following) = split_at_end(after);
                let Some(Constant::Flag(flag)) = constant(name) else {
                    panic!("{line}: no flag has that name");
                };
                if flag {
                    expand(body, constants, numbers, text);
                }
                rest = following;
            }
            _ => {
                let mut line = (*line).to_owned();
                for (name, number) in numbers {
                    line = line.replace(&format!("${name}"), &number.to_string());
                }
                text.push_str(&line);
                text.push('\n');
                rest = after;
            }
        }
    }
}

/// The lines before the `#end` of a directive, and those after it.
fn split_at_end<'a, 'l>(lines: &'a [&'l str]) -> (&'a [&'l str], &'a [&'l str]) {
    let mut open = 1;
    for (index, line) in lines.iter().enumerate() {
        match line.split_whitespace().next() {
            Some("#repeat" | "#if") => open += 1,
            Some("#end") => open -= 1,
            _ => {}
        }
        if open == 0 {
            return (&lines[..index], &lines[index + 1..]);
        }
    }
    panic!("a directive has no #end");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_nest_and_false_conditions_drop_lines() {
        let part = "a\n  #repeat i ROWS\nb$i\n#repeat j COLUMNS\nc$i_$j\n#end\n  #end\n\
                    #if INT14\nd\n#end\n#if WHOLE\ne\n#end\nf";
        let constants = [
            ("ROWS", Constant::Number(2)),
            ("COLUMNS", Constant::Number(2)),
            ("INT14", Constant::Flag(false)),
            ("WHOLE", Constant::Flag(true)),
        ];
        let head = "const ROWS: u32 = 2u;\nconst COLUMNS: u32 = 2u;\n\
                    const INT14: bool = false;\nconst WHOLE: bool = true;\n";
        let body = "a\nb0\nc0_0\nc0_1\nb1\nc1_0\nc1_1\ne\nf\n";
        assert_eq!(source(&constants, &[part]), format!("{head}{body}"));
    }
}
