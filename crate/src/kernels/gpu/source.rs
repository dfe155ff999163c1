//! The text of a kernel, with two things that WGSL has no words for: lines repeated while the text is
//! made, and lines left out. Translators of WGSL bound every loop and every index, so that a loop over
//! an array is neither unrolled nor is its array kept in registers; numbered variables are.
//!
//! ```text
//! #repeat i ROWS       once for each number below the constant ROWS (or 4), which replaces each $i
//! #if FINE             only where the constant FINE is true
//! #end
//! ```

use std::fmt::Write;

/// A constant of a kernel's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Constant {
    Number(u32),
    Flag(bool),
}

/// The parts of a kernel, one after another, below its constants.
///
/// # Panics
/// If a directive names no constant of its kind or has no end: the kernels are the library's own.
pub(super) fn source(constants: &[(&'static str, Constant)], parts: &[&str]) -> String {
    let mut text = String::new();
    for (name, constant) in constants {
        match constant {
            Constant::Number(value) => writeln!(text, "const {name}: u32 = {value}u;"),
            Constant::Flag(value) => writeln!(text, "const {name}: bool = {value};"),
        }
        .expect("a string takes all that is written");
    }
    for part in parts {
        let lines: Vec<&str> = part.lines().collect();
        expand(&lines, constants, &[], &mut text);
    }
    text
}

/// Writes lines with their directives carried out; `numbers` replace the names of the repeats around
/// them.
fn expand(
    lines: &[&str],
    constants: &[(&'static str, Constant)],
    numbers: &[(&str, u32)],
    text: &mut String,
) {
    let constant = |name: &str| {
        constants.iter().find(|(known, _)| *known == name).map(|&(_, constant)| constant)
    };
    let mut rest = lines;
    while let [line, after @ ..] = rest {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["#repeat", name, count] => {
                let (body, following) = split_at_end(after);
                let count = match (constant(count), count.parse()) {
                    (Some(Constant::Number(count)), _) | (None, Ok(count)) => count,
                    _ => panic!("{line}: there is no number of that name"),
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
                    panic!("{line}: there is no flag of that name");
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

/// Lines up to the `#end` of the directive that they follow, and those after it.
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
    fn lines_are_repeated_within_one_another_and_left_out() {
        let part = "a\n  #repeat i ROWS\nb$i\n#repeat j COLUMNS\nc$i_$j\n#end\n  #end\n\
                    #if FINE\nd\n#end\n#if WHOLE\ne\n#end\nf";
        let constants = [
            ("ROWS", Constant::Number(2)),
            ("COLUMNS", Constant::Number(2)),
            ("FINE", Constant::Flag(false)),
            ("WHOLE", Constant::Flag(true)),
        ];
        let head = "const ROWS: u32 = 2u;\nconst COLUMNS: u32 = 2u;\n\
                    const FINE: bool = false;\nconst WHOLE: bool = true;\n";
        let body = "a\nb0\nc0_0\nc0_1\nb1\nc1_0\nc1_1\ne\nf\n";
        assert_eq!(source(&constants, &[part]), format!("{head}{body}"));
    }
}
