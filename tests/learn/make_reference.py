#!/usr/bin/env python3
"""Makes the fixtures under tests/learn: runs of the reference implementation's search.

The reference (sail-sg/lorahub at df73afe, `lorahub/algorithm.py`) searches with nevergrad's NGOpt
over an array that starts at 0 and is bounded by ±1.5; here the same calls run on

  searches.json   analytic objectives in 20 and 7 dimensions, written out in `OBJECTIVES` so that
                  any language can compute them to the last bit; every point and loss of the run
  model/          a small random T5 with a tokenizer, and 20 random adapters of rank 4
  model.json      the run on that model: adapters added up as the reference adds them (A and B
                  apart), its loss and its regulariser; every point, loss and regulariser

Run with nevergrad 1.0.12, scipy 1.17.1, transformers 4.57, peft 0.17, sentencepiece; the versions
are written into the files.
"""

import copy
import io
import json
import math
import random
import shutil
import warnings
from pathlib import Path

import nevergrad
import numpy
import peft
import scipy
import sentencepiece
import torch
import transformers
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from peft.utils import set_peft_model_state_dict
from transformers import T5Config, T5ForConditionalGeneration, T5TokenizerFast

HERE = Path(__file__).parent
BUDGET = 40
BOUND = 1.5
VERSIONS = {m.__name__: m.__version__ for m in (nevergrad, numpy, scipy, torch, transformers, peft)}


def search(objective, dimensions, budget=BUDGET):
    """The search as `lorahub_learning` sets it up; answers every point with its loss."""
    # The reference leaves the seeds to the system; COBYLA draws nothing.
    parametrization = nevergrad.p.Array(
        init=[0] * dimensions, upper=[BOUND] * dimensions, lower=[-BOUND] * dimensions
    )
    optimizer = nevergrad.optimizers.NGOpt(parametrization=parametrization, budget=budget)
    evaluations = []

    def recorded(weights):
        loss = objective([float(w) for w in weights])
        evaluations.append({"weights": [float(w) for w in weights], "loss": loss})
        return loss

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer.minimize(recorded)
    assert optimizer.optim.name == "Cobyla", optimizer.optim.name
    assert len(evaluations) == budget
    return evaluations


# Sums run from the first element to the last, in f64, with no fused multiply-adds.


def quadratic(parameters, w):
    total = 0.0
    for x, target, scale in zip(w, parameters["target"], parameters["scale"]):
        total += scale * (x - target) * (x - target)
    return 1.0 + total


def bilinear(parameters, w):
    """Residual of a product of sums, as when A and B are added up apart: even in w, stationary at 0."""
    total = 0.0
    for a, b, y in zip(parameters["a"], parameters["b"], parameters["y"]):
        left = 0.0
        right = 0.0
        for x, p, q in zip(w, a, b):
            left += x * p
            right += x * q
        residual = y - left * right
        total += residual * residual
    size = 0.0
    for x in w:
        size += abs(x)
    return total / len(parameters["y"]) + 0.05 * (size / len(w))


def noisy(parameters, w):
    """`quadratic` with noise that depends on w alone."""
    phase = 0.0
    for x, f in zip(w, parameters["frequency"]):
        phase += x * f
    return quadratic(parameters, w) + 0.2 * (phase - math.floor(phase) - 0.5)


OBJECTIVES = {"quadratic": quadratic, "bilinear": bilinear, "noisy": noisy}


def make_searches():
    cases = []
    for dimensions in (20, 7):
        for seed, (kind, objective) in enumerate(OBJECTIVES.items()):
            rng = random.Random(1000 * dimensions + seed)

            def row(scale=1.0):
                return [round(scale * rng.gauss(0, 1), 6) for _ in range(dimensions)]

            if kind == "bilinear":
                parameters = {
                    "a": [row(0.5) for _ in range(12)],
                    "b": [row(0.5) for _ in range(12)],
                    "y": [round(rng.gauss(0, 1), 6) for _ in range(12)],
                }
            else:
                # Some targets lie outside the bounds, so that the search is reflected there.
                parameters = {
                    "target": row(1.2),
                    "scale": [round(rng.uniform(0.05, 1.0), 6) for _ in range(dimensions)],
                }
                if kind == "noisy":
                    parameters["frequency"] = row(7.0)
            for budget in (BUDGET, 120) if kind == "quadratic" else (BUDGET,):
                cases.append({
                    "objective": kind,
                    "dimensions": dimensions,
                    "budget": budget,
                    "parameters": parameters,
                    "evaluations": search(
                        lambda w: objective(parameters, w), dimensions, budget
                    ),
                })
    return {"versions": VERSIONS, "bound": BOUND, "cases": cases}


EXAMPLES = [
    ("the river is green or cold", "cold"),
    ("choose between seven nine twelve", "seven nine"),
    ("yesterday the weather was warm tomorrow it is", "cold again"),
    ("small house by the green river", "house"),
    ("answer the question of the letter", "the letter is green"),
]


def make_tokenizer(folder):
    rng = random.Random(5)
    words = sorted({word for pair in EXAMPLES for text in pair for word in text.split()})
    sentences = [" ".join(rng.choices(words, k=rng.randint(3, 9))) for _ in range(800)]
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=trained, model_type="unigram",
        vocab_size=90, character_coverage=1.0, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        hard_vocab_limit=False, normalization_rule_name="identity", num_threads=1, minloglevel=2,
    )
    path = folder / "spiece.model"
    path.write_bytes(trained.getvalue())
    tokenizer = T5TokenizerFast(vocab_file=str(path), extra_ids=4, legacy=True)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    path.unlink()
    return tokenizer


def make_base(folder, vocab_size):
    config = T5Config(
        vocab_size=vocab_size, decoder_start_token_id=0, d_model=32, d_kv=8, num_heads=3, d_ff=44,
        num_layers=2, num_decoder_layers=2, feed_forward_proj="gated-gelu",
        tie_word_embeddings=False, relative_attention_num_buckets=16,
    )
    model = T5ForConditionalGeneration(config).eval()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("layer_norm.weight"):
                parameter.copy_(1 + 0.1 * noise)
            elif name.endswith((".q.weight", ".k.weight")):
                parameter.copy_(noise / (config.d_kv**0.25 * config.d_model**0.5))
            elif name == "lm_head.weight":
                parameter.copy_(0.3 * noise)
            elif "relative_attention_bias" in name or name == "shared.weight":
                parameter.copy_(noise)
            else:
                parameter.copy_(noise / parameter.shape[1] ** 0.5)
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "generation_config.json").unlink()
    return model


def make_adapters(base, folder, count):
    """Random adapters in PEFT's format; answers the model they fit and each one's tensors."""
    config = LoraConfig(task_type="SEQ_2_SEQ_LM", r=4, lora_alpha=8, target_modules=["q", "v"])
    tensors = []
    for index in range(count):
        torch.manual_seed(200 + index)
        model = get_peft_model(copy.deepcopy(base), config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.copy_(0.35 * torch.randn(parameter.shape))
        path = folder / f"{index:02}"
        model.save_pretrained(path, safe_serialization=True)
        (path / "README.md").unlink()
        settings = json.loads((path / "adapter_config.json").read_text())
        settings["base_model_name_or_path"] = ""
        settings["target_modules"] = sorted(settings["target_modules"])
        (path / "adapter_config.json").write_text(json.dumps(settings, indent=1) + "\n")
        tensors.append({k: v.clone() for k, v in get_peft_model_state_dict(model).items()})
    return model.eval(), tensors


def make_model():
    folder = HERE / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tokenizer = make_tokenizer(folder)
    base = make_base(folder, len(tokenizer))
    model, modules = make_adapters(base, folder / "adapters", 20)

    inputs = tokenizer([i for i, _ in EXAMPLES], padding=True, return_tensors="pt")
    labels = tokenizer([o for _, o in EXAMPLES], padding=True, return_tensors="pt").input_ids
    labels = labels.masked_fill(labels == tokenizer.pad_token_id, -100)

    def cross_entropy(weights):
        """`get_final_weights` of the reference, then its loss: the mean over the batch's tokens."""
        merged = {
            key: sum(weight * module[key] for weight, module in zip(weights, modules))
            for key in modules[0]
        }
        set_peft_model_state_dict(model, merged)
        with torch.no_grad():
            return float(model(**inputs, labels=labels).loss)

    def objective(weights):
        # `default_get_loss` divides the one batch's mean by the number of examples.
        loss = cross_entropy(weights) / len(EXAMPLES)
        return loss + 0.05 * (sum(abs(w) for w in weights) / len(weights))

    evaluations = search(objective, len(modules))
    record = {
        "versions": VERSIONS,
        "budget": BUDGET,
        "bound": BOUND,
        "examples": [
            {"input": i, "output": o, "ids": tokenizer(i).input_ids, "labels": tokenizer(o).input_ids}
            for i, o in EXAMPLES
        ],
        "evaluations": evaluations,
    }
    (folder / "examples.jsonl").write_text(
        "".join(json.dumps({"input": i, "output": o}) + "\n" for i, o in EXAMPLES)
    )
    return record


def write(name, record):
    (HERE / name).write_text(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    write("searches.json", make_searches())
    write("model.json", make_model())
