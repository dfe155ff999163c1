//! What 8 bits cost on the library that ships, against the same model in f32.

use loraloom::formats::{GgufFile, PeftAdapter, Tokenizer};
use loraloom::lora::{Composition, Merge};
use loraloom::t5::{Control, Precision, T5Config, T5Model, TokenizedExample};

use super::{read, registry, test_set};

#[test]
fn int8_keeps_the_loss_and_the_answers() {
    const ITEMS: usize = 40;
    let registry = registry();
    let base = &registry.bases[0];
    let config = T5Config::parse(&read(&base.files.config)).unwrap();
    let tokenizer = Tokenizer::from_json(&read(&base.files.tokenizer)).unwrap();
    let weights = GgufFile::parse(read(&base.files.weights)).unwrap();
    let models = [Precision::F32, Precision::Int8]
        .map(|precision| T5Model::load(config.clone(), &weights, precision).unwrap());

    let mut losses = [0.0, 0.0];
    let (mut right, mut kept, mut same, mut items) = (0, 0, 0, 0);
    for (index, task) in registry.tasks.iter().enumerate() {
        // A task's name joins the names of the skills that it asks for.
        let modules: Vec<PeftAdapter> = (registry.modules.iter())
            .filter(|module| task.id.contains(&module.id))
            .map(|module| {
                PeftAdapter::parse(&read(&module.files.config), read(&module.files.weights))
                    .unwrap()
            })
            .collect();
        let modules: Vec<&PeftAdapter> = modules.iter().collect();
        let mut composition = Composition::new(&config, &modules, Merge::Delta).unwrap();
        let side = composition.side_paths(&vec![1.0; modules.len()]).unwrap();
        let batch: Vec<TokenizedExample> = (test_set(&registry, index).iter().take(ITEMS))
            .map(|item| TokenizedExample {
                input: tokenizer.encode(&item.input).unwrap(),
                labels: tokenizer.encode(&item.output).unwrap(),
            })
            .collect();
        let inputs: Vec<&[u32]> = batch.iter().map(|item| &*item.input).collect();
        let [exact, found] = [0, 1].map(|which| {
            let (model, control) = (&models[which], Control::none());
            let found = model.losses(&batch, Some(side), &control).unwrap();
            losses[which] += found.iter().map(|example| example.loss).sum::<f32>();
            model.generate(&inputs, Some(side), 24, &control, &mut |_, _| ()).unwrap()
        });
        for ((exact, found), item) in exact.iter().zip(&found).zip(&batch) {
            items += 1;
            same += usize::from(found == exact);
            if *exact == item.labels {
                right += 1;
                kept += usize::from(found == exact);
            }
        }
    }
    let [exact, found] = losses;
    assert!((found / exact - 1.0).abs() < 0.01, "a loss of {found} in 8 bits for {exact}");
    assert!(same * 100 >= items * 98, "{same} of {items} answers are the same");
    assert!(right > 50 && kept * 100 >= right * 99, "{kept} of {right} right answers are kept");
}
