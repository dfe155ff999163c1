"""The files that the command line makes, read by the programs that they are for: adapters by PEFT,
GGUF models by llama.cpp's own Python package.

Needs the ``loraloom`` command, named by LORALOOM; ``pkg-scripts/test`` builds it.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import unittest
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import gguf
import numpy
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForSeq2SeqLM, ByT5Tokenizer

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "golden" / "models"
TEXTS = json.loads((ROOT / "tests" / "e2e" / "golden" / "texts.json").read_text())["models"]


def loraloom(*arguments: str) -> dict:
    command = [os.environ["LORALOOM"], *arguments, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def encoder_of(folder: Path) -> Callable[[str], list[int]]:
    """The tokenizer of a golden model; ByT5's has no file of pieces."""
    file = folder / "tokenizer.json"
    if not file.exists():
        tokenizer = ByT5Tokenizer.from_pretrained(folder)
        return lambda text: tokenizer(text).input_ids
    pieces = Tokenizer.from_file(str(file))
    return lambda text: pieces.encode(text).ids


@torch.no_grad()
def loss(model: torch.nn.Module, encode: Callable[[str], list[int]], example: dict) -> float:
    ids = [torch.tensor([encode(example[key])]) for key in ("input", "output")]
    return model(input_ids=ids[0], labels=ids[1]).loss.item()


def compositions() -> Iterator[tuple[str, dict]]:
    """The golden models with their cases of adapters."""
    for name, cases in TEXTS.items():
        for case in cases:
            if case["merge"] is not None:
                yield name, case


@unittest.skipUnless(os.environ.get("LORALOOM"), "LORALOOM does not name the loraloom command")
class FilesForOthers(unittest.TestCase):
    def test_peft_loads_an_exported_adapter_with_the_loss_of_the_composition(self) -> None:
        for name, case in compositions():
            with self.subTest(name, **case):
                weights = [f"{weight}" for weight in case["weights"]]
                for theirs, ours, example in self._losses(name, case, weights):
                    self.assertLess(abs(theirs - ours), 1e-5 * ours)
                    self.assertLess(abs(theirs - example["loss"]), 1e-5 * example["loss"])

    def test_peft_loads_weights_of_groups_of_layers_with_the_loss_of_the_composition(self) -> None:
        for name, case in compositions():
            with self.subTest(name, **case):
                weights = [
                    ",".join(f"{weight * factor}" for factor in (1, 0.5, -0.25, 1.5))
                    for weight in case["weights"]
                ]
                differing = 0
                for theirs, ours, example in self._losses(name, case, weights):
                    self.assertLess(abs(theirs - ours), 1e-5 * ours)
                    differing += abs(ours - example["loss"]) > 1e-4 * ours
                self.assertGreater(differing, 0)

    def test_peft_loads_a_tuned_adapter_with_its_loss(self) -> None:
        for name, case in compositions():
            for part in ("lora-b", "scales"):
                with self.subTest(name, part=part, weights=case["weights"]):
                    weights = [f"{weight}" for weight in case["weights"]]
                    losses = self._losses(name, case, weights, part)
                    for theirs, ours, _ in losses:
                        self.assertLess(abs(theirs - ours), 1e-5 * ours)
                    before = sum(example["loss"] for *_, example in losses)
                    self.assertLess(sum(ours for _, ours, _ in losses), before)

    def test_peft_loads_an_adapter_of_a_lower_rank_which_is_the_best_of_that_rank(self) -> None:
        for rank, (name, case) in zip(cycle((1, 3, 64)), compositions()):
            with self.subTest(name, rank=rank, weights=case["weights"]):
                weights = [f"{weight}" for weight in case["weights"]]
                with tempfile.TemporaryDirectory() as whole:
                    losses = self._losses(name, case, weights, rank=rank, whole=whole)
                for theirs, ours, _ in losses:
                    self.assertLess(abs(theirs - ours), 1e-5 * ours)

    def _check_truncation(self, whole: str, made: str, truncation: dict, rank: int) -> None:
        """Each layer's error and the kept shares against NumPy's singular values."""
        before, after = (load_file(Path(f) / "adapter_model.safetensors") for f in (whole, made))
        total, kept, shares = 0.0, 0.0, {}
        for key in (key for key in before if ".lora_A." in key):
            products = [
                layers[key.replace("lora_A", "lora_B")].double() @ layers[key].double()
                for layers in (before, after)
            ]
            self.assertLessEqual(len(after[key]), max(1, min(rank, len(before[key]))))
            values = numpy.linalg.svd(products[0].numpy(), compute_uv=False)
            error = (products[0] - products[1]).norm().item()
            expected = numpy.linalg.norm(values[rank:])
            self.assertLess(abs(error - expected), 2e-6 * values[0] * len(values))
            total += (values**2).sum()
            kept += (values[:rank] ** 2).sum()
            layer = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            if len(before[key]) > rank:
                shares[layer] = ((values[:rank] ** 2).sum() / (values**2).sum()) ** 0.5
        self.assertAlmostEqual(truncation["kept"], (kept / total) ** 0.5, places=6)
        if shares:
            worst = truncation["worst"]
            self.assertAlmostEqual(worst["kept"], min(shares.values()), places=6)
            self.assertAlmostEqual(shares[worst["layer"]], worst["kept"], places=6)
        else:
            self.assertIsNone(truncation["worst"])

    def _losses(
        self,
        name: str,
        case: dict,
        weights: list[str],
        tuned: str | None = None,
        rank: int | None = None,
        whole: str | None = None,
    ) -> list[tuple]:
        """Of each example: the loss of the written adapter in PEFT, and of the composition here, of what
        a part of it was tuned to, or of the adapter at this rank. The adapter of the whole rank is
        written too then."""
        folder = MODELS / name
        encode = encoder_of(folder)
        adapters = [
            f"--adapter={folder / 'adapters' / adapter}={weight}"
            for adapter, weight in zip(case["adapters"], weights, strict=True)
        ]
        composition = [*adapters, f"--merge={case['merge']}", f"--model={folder}"]
        with tempfile.TemporaryDirectory() as made:
            examples = Path(made) / "examples.jsonl"
            lines = [
                json.dumps({key: e[key] for key in ("input", "output")}) + "\n"
                for e in case["examples"]
            ]
            examples.write_text("".join(lines))
            scored_by = [f"--examples={examples}", "--precision=f32"]
            if tuned:
                loraloom("tune", *composition, *scored_by, f"--part={tuned}", f"--out={made}")
                composition = [f"--adapter={made}", f"--model={folder}"]
            elif rank:
                loraloom("export", *composition, f"--out={whole}")
                exported = loraloom("export", *composition, f"--rank={rank}", f"--out={made}")
                self._check_truncation(whole, made, exported["truncation"], rank)
                composition = [f"--adapter={made}", f"--model={folder}"]
            else:
                loraloom("export", *composition, f"--out={made}")
            scored = loraloom("score", *composition, *scored_by)
            base = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
            model = PeftModel.from_pretrained(base, made).eval()
            return [
                (loss(model, encode, example), ours["loss"], example)
                for ours, example in zip(scored["examples"], case["examples"], strict=True)
            ]

    def test_llama_cpps_package_finds_the_names_values_and_vocabulary_that_it_would_write(
        self,
    ) -> None:
        for name in ("wide-bfloat", "narrow-tied", "relu-tied"):
            with self.subTest(name), tempfile.TemporaryDirectory() as made:
                folder = MODELS / name
                file = Path(made) / "model.gguf"
                loraloom("quantize", f"--model={folder}", f"--out={file}")
                reader = gguf.GGUFReader(file)
                config = json.loads((folder / "config.json").read_text())
                blocks = max(config["num_layers"], config["num_decoder_layers"])
                names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5, blocks)
                expected = {
                    names.get_name(key, try_suffixes=(".weight",)): value.float().numpy()
                    for key, value in load_file(folder / "model.safetensors").items()
                    if not key.endswith("embed_tokens.weight")
                }
                found = {tensor.name: tensor for tensor in reader.tensors}
                self.assertEqual(set(found), set(expected))
                kinds = set()
                for key, value in expected.items():
                    tensor = found[key]
                    self.assertEqual(list(tensor.shape), list(reversed(value.shape)), key)
                    if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0:
                        value = gguf.quants.quantize(value, tensor.tensor_type)
                    kinds.add(tensor.tensor_type)
                    self.assertTrue(numpy.array_equal(tensor.data, value), key)
                if name != "narrow-tied":
                    self.assertIn(gguf.GGMLQuantizationType.Q8_0, kinds)
                self._check_metadata(reader, folder, config)

    def _check_metadata(self, reader: gguf.GGUFReader, folder: Path, config: dict) -> None:
        keys = gguf.Keys
        arch = {"arch": "t5"}
        for key, value in {
            keys.General.ARCHITECTURE: "t5",
            keys.LLM.EMBEDDING_LENGTH.format(**arch): config["d_model"],
            keys.LLM.FEED_FORWARD_LENGTH.format(**arch): config["d_ff"],
            keys.LLM.BLOCK_COUNT.format(**arch): config["num_layers"],
            keys.LLM.DECODER_BLOCK_COUNT.format(**arch): config["num_decoder_layers"],
            keys.LLM.DECODER_START_TOKEN_ID.format(**arch): config["decoder_start_token_id"],
            keys.Attention.HEAD_COUNT.format(**arch): config["num_heads"],
            keys.Attention.KEY_LENGTH.format(**arch): config["d_kv"],
            keys.Attention.VALUE_LENGTH.format(**arch): config["d_kv"],
            keys.Attention.REL_BUCKETS_COUNT.format(**arch): config[
                "relative_attention_num_buckets"
            ],
            keys.Tokenizer.MODEL: "t5",
            keys.Tokenizer.EOS_ID: config["eos_token_id"],
        }.items():
            self.assertEqual(reader.fields[key].contents(), value, key)
        vocabulary = json.loads((folder / "tokenizer.json").read_text())
        tokens = reader.fields[keys.Tokenizer.LIST].contents()
        self.assertEqual(len(tokens), config["vocab_size"])
        pieces = [piece for piece, _ in vocabulary["model"]["vocab"]]
        self.assertEqual(tokens[: len(pieces)], pieces)
        types = reader.fields[keys.Tokenizer.TOKEN_TYPE].contents()
        unknown = vocabulary["model"]["unk_id"]
        self.assertEqual(types[unknown], gguf.TokenType.UNKNOWN)
        self.assertEqual(types[config["eos_token_id"]], gguf.TokenType.CONTROL)


if __name__ == "__main__":
    unittest.main()
