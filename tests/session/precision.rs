//! What 8 bits cost on the library that ships, against the same model in f32.

use loraloom::lora::{AdapterSet, Merge};
use loraloom::model::{Control, Model, Precision, WithRespectTo};

use super::{Base, registry, skills, test_set};

#[test]
fn int8_keeps_the_loss_and_the_answers() {
    const ITEMS: usize = 40;
    let registry = registry();
    let base = Base::new(&registry);
    let models = [Precision::F32, Precision::Int8].map(|precision| base.model(precision));

    let mut losses = [0.0, 0.0];
    let (mut right, mut kept, mut same, mut items) = (0, 0, 0, 0);
    for task in 0..registry.tasks.len() {
        let modules = skills(&registry, task);
        let mut composition = AdapterSet::new(&base.config, &modules, Merge::Delta).unwrap();
        let batch = base.tokenized(&test_set(&registry, task)[..ITEMS]);
        let inputs: Vec<&[u32]> = batch.iter().map(|item| &*item.input).collect();
        let [exact, found] = [0, 1].map(|which| {
            let (model, control) = (&models[which], Control::none());
            let weights = vec![1.0; modules.len()];
            let side = composition.branches(&weights, model.precision()).unwrap();
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

/// Steps of tuning go where those of exact gradients go.
#[test]
fn gradients_in_8_bits_point_where_exact_ones_do() {
    let registry = registry();
    let base = Base::new(&registry);
    let models = [Precision::F32, Precision::Int8].map(|precision| base.model(precision));
    let mut cosines = Vec::new();
    for task in (0..registry.tasks.len()).step_by(5) {
        let modules = skills(&registry, task);
        let mut composition = AdapterSet::new(&base.config, &modules, Merge::Delta).unwrap();
        let batch = base.tokenized(&test_set(&registry, task)[..5]);
        let [exact, found] = models.each_ref().map(|model| -> Vec<f64> {
            let weights = vec![1.0; modules.len()];
            let side = composition.branches(&weights, model.precision()).unwrap();
            let with_respect_to = WithRespectTo { lora_a: false, lora_b: true };
            let gradients = model.differentiate(&batch).unwrap();
            let found = gradients.gradients(side, with_respect_to, &Control::none()).unwrap();
            let values = found.branches.values().flat_map(|branch| branch.lora_b.clone());
            values.map(f64::from).collect()
        });
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        cosines.push(dot(&exact, &found) / (dot(&exact, &exact) * dot(&found, &found)).sqrt());
    }
    // Where every answer is right the gradient is small, and most of it is noise.
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    assert!(mean > 0.9 && cosines.iter().all(|&cosine| cosine > 0.5), "cosines {cosines:?}");
}
