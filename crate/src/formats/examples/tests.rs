//! Tests of the reader of examples.

use serde_json::Value;

use super::*;

fn read(text: &str) -> Vec<(String, String)> {
    parse_examples(text, ExamplesFormat::Auto)
        .unwrap()
        .into_iter()
        .map(|example| (example.input, example.output))
        .collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(input, output)| (input.into(), output.into())).collect()
}

#[test]
fn an_answer_matches_regardless_of_case_and_full_stops() {
    let example = Example { input: "a".into(), output: "The U.S.".into() };
    assert!(example.is_matched_by("  the US\n") && example.is_matched_by("The U.S.."));
    // LoraHub trims before it removes full stops.
    assert!(!example.is_matched_by("the us .") && !example.is_matched_by("the u s"));
}

#[test]
fn json_lines_are_read_with_all_field_names() {
    let text = "\u{feff}{\"input\":\"a\",\"output\":\"b\"}\r\n\n{\"targets\":\"d\",\"inputs\":\"c\\n\",\"idx\":1}\n";
    assert_eq!(read(text), pairs(&[("a", "b"), ("c\n", "d")]));
    assert_eq!(read(r#" [{"input":"a","output":"b"}]"#), pairs(&[("a", "b")]));
}

#[test]
fn tables_are_read_with_and_without_a_header() {
    assert_eq!(read("a,b\nc,d"), pairs(&[("a", "b"), ("c", "d")]));
    assert_eq!(read("Output,id,Input\r\nb,1,a\r\n"), pairs(&[("a", "b")]));
    assert_eq!(read("a, x\tb\nc\td\n"), pairs(&[("a, x", "b"), ("c", "d")]));
    assert_eq!(
        read("\"a, \"\"x\"\"\ny\",b\n\n\"c\",\"\"\"d\"\"\"\n"),
        pairs(&[("a, \"x\"\ny", "b"), ("c", "\"d\"")])
    );
    // A cell that merely begins with a quotation mark.
    assert_eq!(read("\"Go,\" he said\tgo\n"), pairs(&[("\"Go,\" he said", "go")]));
}

#[test]
fn semicolons_delimit_where_they_are_no_text() {
    assert_eq!(read("input;output\na;b"), pairs(&[("a", "b")]));
    assert_eq!(read("Hello, you;Bonjour"), pairs(&[("Hello, you", "Bonjour")]));
    assert_eq!(read("sep=;\r\na, b;c\r\n"), pairs(&[("a, b", "c")]));
    assert_eq!(read("SEP=;\na, b;c"), pairs(&[("a, b", "c")]));
    assert_eq!(read("sep=,\na;b,c"), pairs(&[("a;b", "c")]));
    assert_eq!(read("sep=\t\na\tb"), pairs(&[("a", "b")]));
    assert_eq!(read("a; b\nc; d"), pairs(&[("a", "b"), ("c", "d")]));
    assert_eq!(read("id;output;input\n1;3,5;x, y"), pairs(&[("x, y", "3,5")]));
    // A semicolon of the text has a blank behind it, or is not in every line.
    assert_eq!(read("red; blue,colors"), pairs(&[("red; blue", "colors")]));
    assert_eq!(read("a;b,c\nd,e"), pairs(&[("a;b", "c"), ("d", "e")]));
    // Where either could delimit, the input has the other.
    let smileys = pairs(&[("nice ;)", "positive"), ("bad ;(", "negative")]);
    assert_eq!(read("nice ;),positive\nbad ;(,negative"), smileys);
    assert_eq!(read("caf&eacute;,coffee"), pairs(&[("caf&eacute;", "coffee")]));
    assert_eq!(read("Wein 3,50;cheap\nWein 30,00;dear").len(), 2);
    assert_eq!(read("Wein 3,50;cheap")[0], ("Wein 3,50".into(), "cheap".into()));
}

#[test]
fn a_row_with_more_cells_than_columns_is_refused() {
    for text in
        ["input,output\nHello, you,Bonjour", "text\tlabel\nGood\treally good\tpos", "a,b\nc,d,e"]
    {
        let error = parse_examples(text, ExamplesFormat::Auto).unwrap_err();
        assert!(matches!(error, FormatError::Columns { line: 2, found: 3, .. }), "{error}");
    }
    // As spreadsheets write them.
    assert_eq!(read("input,output,,\na,b,,"), pairs(&[("a", "b")]));
    assert_eq!(read("a,b,\nc,d,"), pairs(&[("a", "b"), ("c", "d")]));
}

#[test]
fn the_names_of_datasets_are_a_header_and_no_example() {
    for header in [
        "text,label",
        "question,answer",
        "prompt,completion",
        "sentence,label",
        "instruction,response",
        "context,completion",
        "Text , Label",
        "inputs,targets",
        "source,target",
        "instruction,output",
        "query,response",
        "document,target",
    ] {
        assert_eq!(read(&format!("{header}\na,b")), pairs(&[("a", "b")]), "{header}");
        let json = header.to_lowercase();
        let (input, output) = json.split_once(',').unwrap();
        let json = serde_json::json!({input.trim(): "a", output.trim(): "b"});
        assert_eq!(read(&json.to_string()), pairs(&[("a", "b")]), "{json}");
    }
    for header in [
        "article,summary",
        "input_text,target_text",
        "Review,Sentiment",
        "utterance;intent",
        "user,assistant",
    ] {
        let delimiter = if header.contains(';') { ';' } else { ',' };
        assert_eq!(read(&format!("{header}\na{delimiter}b")), pairs(&[("a", "b")]), "{header}");
    }
    // Words that are looked for last are words of an example too.
    assert_eq!(read("message,Nachricht\nreply,Antwort").len(), 2);
    assert_eq!(read("text,answer,review\na,b,c"), pairs(&[("a", "b")]));
    // Of two columns, one name is enough.
    for header in ["tweet,label", "text,category", "prompt,chosen", "text,class,"] {
        assert_eq!(read(&format!("{header}\na,b")), pairs(&[("a", "b")]), "{header}");
    }
    assert_eq!(read("a tweet,sentiment\na,b").len(), 2);
    assert_eq!(read("label,tweet\na,b"), pairs(&[("b", "a")]));
    assert_eq!(read("Category;Text\na;b"), pairs(&[("b", "a")]));
    for text in ["question,context,answer\na,b,c", r#"{"question":"a","context":"b","answer":"c"}"#]
    {
        let error = parse_examples(text, ExamplesFormat::Auto).unwrap_err().to_string();
        assert!(error.contains("question and context, each of which could be it"), "{error}");
    }
    // This project's own names win over the others.
    assert_eq!(read("text,input,label,output\na,b,c,d"), pairs(&[("b", "d")]));
}

#[test]
fn an_instruction_goes_before_the_input_on_a_line_of_its_own() {
    let text = r#"{"instruction": "Translate to French", "input": "cat", "output": "chat"}"#;
    assert_eq!(read(text), pairs(&[("Translate to French\ncat", "chat")]));
    let without = text.replace("cat\"", " \"").replace("chat", "c");
    assert_eq!(read(&without), pairs(&[("Translate to French", "c")]));
    assert_eq!(read("instruction,input,output\nAdd,1 2,3"), pairs(&[("Add\n1 2", "3")]));
}

#[test]
fn json_is_read_in_the_shapes_in_use() {
    let bench = r#"{"canary": "text", "examples": [{"input": "a", "target": "b"}, {"input": "c", "target": "d"}]}"#;
    let expected = pairs(&[("a", "b"), ("c", "d")]);
    let value: Value = serde_json::from_str(bench).unwrap();
    assert_eq!(read(bench), expected);
    assert_eq!(read(&serde_json::to_string_pretty(&value).unwrap()), expected);
    let pretty = serde_json::to_string_pretty(&value["examples"][0]).unwrap();
    assert_eq!(read(&format!("{pretty}\n{pretty}")), pairs(&[("a", "b"), ("a", "b")]));
    assert_eq!(
        read(r#"{"rows": [{"row_idx": 0, "row": {"sentence": "a", "label": 1}}]}"#),
        pairs(&[("a", "1")])
    );
    assert_eq!(
        read(r#"[{"input": 1.5, "output": true}, {"input": ["a"], "output": [-2]}]"#),
        pairs(&[("1.5", "true"), ("a", "-2")])
    );
    let translation = r#"{"translation": {"en": "cat", "fr": "chat"}}"#;
    let error = parse_examples(translation, ExamplesFormat::Auto).unwrap_err().to_string();
    assert!(error.contains("a translation between en, fr, which does not say"), "{error}");
    let error = parse_examples(r#"{"a": "b", "c": "d"}"#, ExamplesFormat::Auto).unwrap_err();
    assert!(error.to_string().contains("found the fields a, c"), "{error}");
}

#[test]
fn json_with_pairs_or_columns_is_read_as_datasets_write_it() {
    let expected = pairs(&[("a", "b"), ("c", "d")]);
    assert_eq!(read(r#"[["a", "b"], ["c", "d"]]"#), expected);
    assert_eq!(read(r#"{"examples": [["a", "b"], ["c", "d"]]}"#), expected);
    assert_eq!(read(r#"{"question": ["a", "c"], "answer": ["b", "d"], "id": [1, 2]}"#), expected);
    let instructed = r#"{"instruction": ["do", "do"], "input": ["a", "c"], "output": ["b", "d"]}"#;
    assert_eq!(read(instructed), pairs(&[("do\na", "b"), ("do\nc", "d")]));
    // A record may have a list of its own in a field of that name.
    let record = r#"{"input": "a", "output": "b", "examples": ["x"]}"#;
    assert_eq!(read(record), pairs(&[("a", "b")]));
    let layout = read_examples(record, ExamplesFormat::Auto).unwrap().layout;
    assert_eq!(layout.unused, ["examples"]);
}

#[test]
fn a_list_of_lists_in_json_is_a_table_with_or_without_a_header() {
    let expected = pairs(&[("a", "b"), ("c", "d")]);
    assert_eq!(read(r#"[["input", "output"], ["a", "b"], ["c", "d"]]"#), expected);
    assert_eq!(read(r#"[["label", "id", "text"], ["b", 1, "a"], ["d", 2, "c"]]"#), expected);
    // As pandas writes it with `orient="split"`.
    let split =
        r#"{"columns": ["label", "text"], "index": [0, 1], "data": [["b", "a"], ["d", "c"]]}"#;
    assert_eq!(read(split), expected);
    assert_eq!(read_examples(split, ExamplesFormat::Auto).unwrap().layout.unused, ["index"]);
    // A line for each row.
    assert_eq!(read("[\"a\", \"b\"]\n[\"c\", \"d\"]"), expected);
}

#[test]
fn a_conversation_of_one_question_and_one_answer_is_an_example() {
    let openai = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#;
    assert_eq!(read(openai), pairs(&[("a", "b")]));
    let share = r#"{"id": 1, "conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "a"},
        {"from": "gpt", "value": "b"}]}"#;
    assert_eq!(read(share), pairs(&[("s\na", "b")]));
    let longer = openai.replace("}]}", r#"}, {"role": "user", "content": "c"}]}"#);
    let error = parse_examples(&longer, ExamplesFormat::Auto).unwrap_err().to_string();
    assert!(
        error.contains("a conversation of one question and one answer, found 3 turns"),
        "{error}"
    );
}

#[test]
fn token_ids_are_no_examples_and_the_text_beside_them_is() {
    let ids = r#"{"input": [3, 7, 1], "labels": [4, 9, 1]}"#;
    assert!(parse_examples(ids, ExamplesFormat::Auto).is_err());
    let p3 = r#"{"inputs": [3, 1], "inputs_pretokenized": "a", "targets": [4, 1], "targets_pretokenized": "b"}"#;
    assert_eq!(read(p3), pairs(&[("a", "b")]));
    assert_eq!(read(r#"{"text": "a", "label": 1, "label_text": "b"}"#), pairs(&[("a", "b")]));
    assert_eq!(read(r#"{"Input": "x", "input": "a", "output": "b"}"#), pairs(&[("a", "b")]));
}

#[test]
fn names_are_read_without_the_marks_that_people_write_around_them() {
    for header in [
        "Input Text,Output Text",
        "Input:,Output:",
        "Input (English),Output (French)",
        "input_sentence,output_sentence",
        "Input sentence,Target-sentence",
        "Human,AI",
        "Q,A",
        "original,corrected",
        "review,rating",
        "**Input**,**Output**",
    ] {
        assert_eq!(read(&format!("{header}\na,b")), pairs(&[("a", "b")]), "{header}");
    }
    // A rule below it says that a row of Markdown is a header.
    assert_eq!(read("| English | French |\n|---|---|\n| - | - |"), pairs(&[("-", "-")]));
    for header in ["id,text", "text,id", "url,text", "Unnamed: 0,text", "index,label"] {
        let error = parse_examples(&format!("{header}\na,b"), ExamplesFormat::Auto).unwrap_err();
        assert!(error.to_string().contains("of which neither is an output"), "{error}");
    }
}

#[test]
fn decimal_commas_and_tabs_within_quotation_marks_delimit_nothing() {
    assert_eq!(read("1;2,5\n2;3,5"), pairs(&[("1", "2,5"), ("2", "3,5")]));
    assert_eq!(read("\"a\tcat\",chat\nb,c"), pairs(&[("a\tcat", "chat"), ("b", "c")]));
    assert_eq!(read("\"a\tcat\"\tchat"), pairs(&[("a\tcat", "chat")]));
    assert_eq!(read("say \"a\tcat\""), pairs(&[("say \"a", "cat\"")]));
}

#[test]
fn files_that_are_no_text_of_examples_are_named() {
    for (bytes, name) in [
        (&b"PK\x03\x04rest"[..], "a ZIP archive, as Excel's files are"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"<!doctype html><p>a,b", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
        (b"ctrl,\0", "a zero byte"),
    ] {
        let error = read_examples_file(bytes, ExamplesFormat::Auto).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    let curly = "{“input”: “a”, “output”: “b”}";
    let error = parse_examples(curly, ExamplesFormat::Auto).unwrap_err().to_string();
    assert!(error.contains("line 1 should be"), "{error}");
}

#[test]
fn a_number_keeps_the_digits_that_it_is_written_with() {
    let text =
        r#"{"input": 12345678901234567890123, "output": 0.1000000000000000055511151231257827}"#;
    let expected = pairs(&[("12345678901234567890123", "0.1000000000000000055511151231257827")]);
    assert_eq!(read(text), expected);
    assert_eq!(read(r#"{"input": 1.50, "output": -0}"#), pairs(&[("1.50", "-0")]));
}

#[test]
fn a_table_whose_first_cell_starts_with_a_bracket_is_no_json() {
    assert_eq!(read("[CLS] a,b\n[1] c,d"), pairs(&[("[CLS] a", "b"), ("[1] c", "d")]));
    assert_eq!(read("{name} asks\tb"), pairs(&[("{name} asks", "b")]));
    assert_eq!(read("[laughs] yes;b"), pairs(&[("[laughs] yes", "b")]));
}

#[test]
fn a_header_that_joined_files_repeat_is_no_example() {
    let expected = pairs(&[("a", "b"), ("c", "d")]);
    assert_eq!(read("input,output\na,b\n\u{feff}Input,Output\nc,d"), expected);
    assert_eq!(read("\u{feff}\u{feff}input\ttarget\na\tb\ninput\ttarget\nc\td"), expected);
    assert_eq!(read("text,label\na,b\ntext,label\nc,d"), expected);
    let error = parse_examples("text,label\na,b\nlabel,text\nd,c", ExamplesFormat::Auto);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("line 3 should be an example"), "{error}");
    // Other names are words of an example too.
    assert_eq!(read("a,b\nquestion,answer").len(), 2);
}

#[test]
fn a_table_of_markdown_is_read() {
    let text = "| Question | Answer |\r\n|:---|---:|\r\n| a, x | b |\r\n\r\n| c \\| y | d |\r\n";
    assert_eq!(read(text), pairs(&[("a, x", "b"), ("c | y", "d")]));
    assert_eq!(read_examples(text, ExamplesFormat::Auto).unwrap().layout.delimiter, Some('|'));
    assert_eq!(read("| a | b |\n| - | d |"), pairs(&[("a", "b"), ("-", "d")]));
    // Text that merely starts with a bar.
    assert_eq!(read("|x|,b"), pairs(&[("|x|", "b")]));
}

#[test]
fn what_a_text_was_read_as_is_returned() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let layout = |text: &str| read_examples(text, ExamplesFormat::Auto).unwrap().layout;
    let plain = |delimiter| ExamplesLayout { delimiter, ..ExamplesLayout::default() };
    assert_eq!(layout("a\tb"), plain(Some('\t')));
    assert_eq!(layout("sep=;\na;b"), plain(Some(';')));
    assert_eq!(
        layout("id,Question,,Answer,id\n1,a,,b,2"),
        ExamplesLayout {
            input: names(&["Question"]),
            output: names(&["Answer"]),
            unused: names(&["id"]),
            ..plain(Some(','))
        }
    );
    let bench = r#"{"canary": "text", "examples": [{"input": "a", "target": "b"}]}
        {"instruction": "i", "question": "a", "target": "b", "id": 1}"#;
    assert_eq!(
        layout(bench),
        ExamplesLayout {
            instruction: names(&["instruction"]),
            input: names(&["input", "question"]),
            output: names(&["target"]),
            unused: names(&["canary", "id"]),
            ..plain(None)
        }
    );
    let wide: String = (0..60).map(|column| format!("c{column},")).collect();
    assert_eq!(layout(&format!("{wide}input,output\n{}a,b", ",".repeat(60))).unused.len(), 8);
}

#[test]
fn records_without_an_input_or_an_output_are_left_out_and_named() {
    let read = |text: &str| read_examples(text, ExamplesFormat::Auto).unwrap();
    let of = |place: &str, field: &str| EmptyField { place: place.into(), field: field.into() };
    let table = read("a,b\n,d\n\nc,d\ne, ");
    assert_eq!(table.examples.len(), 2);
    assert_eq!(table.layout.left_out, 2);
    assert_eq!(table.layout.empty, [of("line 2", "input"), of("line 5", "output")]);
    let error = table.complete().unwrap_err().to_string();
    assert!(error.contains("input of line 2 should be a text, found nothing"), "{error}");
    let list = read(r#"[{"input": "a", "output": null}, {"input": "c", "output": "d"}]"#);
    assert_eq!(list.layout.empty, [of("item 1", "output")]);
    // A row below a header may lack its last cells.
    let short = read("input,output\na,b\nc\n");
    assert_eq!((short.examples.len(), &short.layout.empty[..]), (1, &[of("line 3", "output")][..]));
    // The names are bounded, the count is not.
    let many = read(&format!("{}a,b", "a,\n".repeat(100_000)));
    assert_eq!((many.layout.left_out, many.layout.empty.len()), (100_000, 8));
    // Where none is left, the first is the error.
    let error = read_examples("a,\n,b", ExamplesFormat::Auto).unwrap_err().to_string();
    assert!(error.contains("output of line 1"), "{error}");
}

#[test]
fn blanks_around_cells_and_quotation_marks_are_removed() {
    assert_eq!(read("\"bed, moon\", \"nose\""), pairs(&[("bed, moon", "nose")]));
    assert_eq!(read("\"bed, moon\" ,nose"), pairs(&[("bed, moon", "nose")]));
    assert_eq!(read(" a , b "), pairs(&[("a", "b")]));
    let trimmed = |text| read_examples(text, ExamplesFormat::Auto).unwrap().layout.trimmed;
    assert_eq!((trimmed("input,output\na, b\nc,d"), trimmed("a\tb")), (1, 0));
    // A text in JSON is exact: ByT5 has a token for every blank.
    let text = r#"{"input": " a\n", "output": "\tb "}"#;
    assert_eq!(read(text), pairs(&[(" a\n", "\tb ")]));
    assert_eq!(trimmed(text), 0);
    // Text that merely has quotation marks behind a blank.
    assert_eq!(read("he said, \"go\" now"), pairs(&[("he said", "\"go\" now")]));
}

#[test]
fn a_file_in_another_encoding_is_read_or_refused_by_name() {
    let read =
        |bytes: &[u8]| read_examples_file(bytes, ExamplesFormat::Auto).map(|read| read.examples);
    let expected = vec![Example { input: "é".into(), output: "e".into() }];
    assert_eq!(read("é,e".as_bytes()).unwrap(), expected);
    let utf16: Vec<u16> = "é\te\r\n".encode_utf16().collect();
    let little: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    assert_eq!(read(&[b"\xff\xfe", &little[..]].concat()).unwrap(), expected);
    assert_eq!(read(&[b"\xfe\xff", &big[..]].concat()).unwrap(), expected);
    for bytes in [&little[..], &big, b"\xff\xfe\0\0a\0\0\0,\0\0\0b\0\0\0"] {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains("UTF-8"), "{error}");
    }
    let error = read(b"a,b\n\xe9,e").unwrap_err().to_string();
    assert!(error.contains("line 2 should be text in UTF-8"), "{error}");
    assert!(error.contains("0xe9, as Windows-1252 has"), "{error}");
}

#[test]
fn ten_thousand_rows_are_read_quickly() {
    let started = std::time::Instant::now();
    for row in ["a, b;c\n", "\"a, b\",c\n", "\"a\tb\n", "{\"text\":\"a\",\"label\":0}\n"] {
        assert_eq!(read(&row.repeat(10_000)).len(), 10_000, "{row}");
    }
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn every_task_of_big_bench_hard_is_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/bbh");
    let Ok(entries) = std::fs::read_dir(folder) else {
        println!("skipped: BIG-Bench Hard is not at {folder}");
        return;
    };
    let files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    assert_eq!(files.len(), 27);
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        let expected = value["examples"].as_array().unwrap().len();
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        for bytes in [bytes, pretty] {
            let read = read_examples_file(&bytes, ExamplesFormat::Auto)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(read.complete().unwrap().len(), expected, "{}", path.display());
        }
    }
}

#[test]
fn errors_name_the_line_and_the_field() {
    for (text, part) in [
        ("{\"input\":\"a\",\"output\":\"b\"}\n{\"input\":\"a\"}", "line 2"),
        ("{\"input\":\"a\",\"output\":\" \"}", "output of line 1"),
        ("{\"input\":{},\"output\":\"b\"}", "input of line 1"),
        ("{\"input\":\"a\",\"output\":[1,2]}", "output of line 1 should be a text"),
        ("[[\"a\",\"b\"],[\"c\"]]", "item 2 should be"),
        ("{'input': 'a', 'output': 'b'}", "line 1 should be {\"input\""),
        ("{input: \"a\", output: \"b\"}", "line 1 should be {\"input\""),
        ("{\"input\": \"a\", \"output\": \"b\"", "line 1 should be {\"input\""),
        ("{\"input\": [1, 2], \"output\": [1]}", "input of line 1 should be a text"),
        ("id,article,summary\n1,a,b,c", "line 2 has 4 columns; the header has 3"),
        ("no,title,here\n1,a,b", "call two of its columns input and output"),
        (
            "a,b\ninput,output\nc,d",
            "line 2 should be an example; a header stands before all others",
        ),
        (
            "| a | b | c |",
            "line 1 has 3 columns; it needs 2: if the input has bars, write them \\|",
        ),
        ("a,b\n\n,d", "input of line 3"),
        ("a,b\nc", "line 2 has 1 column; it needs 2: an input and an output, with a comma between"),
        (
            "Well, yes, no,x",
            "line 1 has 4 columns; it needs 2: if the input has commas, put it in quotes",
        ),
        ("a;b\nc;d;e", "line 2 has 3 columns; it needs 2: if the input has semicolons"),
        ("\"a\nb\",c\nd,", "output of line 3"),
        ("\"a,b", "line 1"),
        ("a,b\n\"c\"x,d", "line 2"),
        ("input,output\n", "one example or more"),
        ("", "one example or more"),
        ("[1]", "line 1 has 1 column"),
        ("a\u{fffd},b", "line 1 should be text in UTF-8"),
        (&",".repeat(100), "columns"),
        (&format!("a,{}", "b".repeat(70_000)), "output of line 1"),
        (&"a,b\n".repeat(10_001), "number"),
    ] {
        let error = parse_examples(text, ExamplesFormat::Auto).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}
