#!/usr/bin/env python3
"""Makes the fixtures under tests/golden/peft: LoRA adapters for the model `narrow-tied`, each made by one version of PEFT
and saved in every way that this version knows, and the losses that the same version gives after loading it.

Each folder is named for its version and holds adapter_config.json, adapter_model.bin, adapter_model.safetensors (from the
first version that writes it), and expected.json:

  made_with  {peft, transformers, torch}
  examples   [{input, labels, loss}]     token ids in, mean token cross-entropy out

Run in the Python environment of `pkg-scripts/setup --python`; needs a package index. Each version is installed with the
transformers of its time into a folder that is thrown away, and this script runs itself there.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent
MODEL = ROOT / "models" / "narrow-tied"
OUT = ROOT / "peft"
# By version of PEFT: what else of its time it needs, and a configuration with what was new in it.
VERSIONS = {
    "0.3.0": (
        ["transformers==4.28.1", "tokenizers==0.13.3", "huggingface_hub==0.14.1", "accelerate==0.19.0",
         "setuptools==68.2.2"],
        {"r": 2, "lora_alpha": 5, "lora_dropout": 0.0},
    ),
    "0.4.0": (
        ["transformers==4.31.0", "tokenizers==0.13.3", "huggingface_hub==0.16.4", "accelerate==0.21.0"],
        {"r": 2, "lora_alpha": 3, "target_modules": ["q", "o"], "layers_to_transform": [0], "layers_pattern": "block"},
    ),
    "0.6.2": (
        ["transformers==4.35.2", "tokenizers==0.15.2", "huggingface_hub==0.19.4", "accelerate==0.25.0"],
        {"r": 2, "target_modules": r"decoder.*\.(q|wi_[01])", "rank_pattern": {"wi_0": 1}, "alpha_pattern": {"wi_1": 7}},
    ),
    "0.10.0": (
        ["transformers==4.39.3", "tokenizers==0.15.2", "huggingface_hub==0.22.2", "accelerate==0.29.3"],
        {"r": 3, "lora_alpha": 4, "target_modules": ["k", "wo"], "use_rslora": True},
    ),
    "0.13.2": (
        ["transformers==4.45.2", "tokenizers==0.20.3", "huggingface_hub==0.26.5", "accelerate==1.0.1"],
        {"r": 2, "target_modules": ["SelfAttention.v", "decoder.block.1.layer.2.DenseReluDense.wo"]},
    ),
    "0.17.1": (
        [],
        {"r": 2, "target_modules": ["q", "wi_1", "wo"], "exclude_modules": r"encoder\..*|.*wo", "rank_pattern": {"^decoder.*q": 3}},
    ),
    "0.21.2": ([], {"r": 2, "lora_alpha": 8, "target_modules": ["v", "wi_1"], "use_rslora": True}),
}
INPUTS, LABELS = (1, 9, 40), (3, 6, 2)


def losses(model, examples):
    import torch

    with torch.no_grad():
        for example in examples:
            # Without its cache, which counts encoder layers and fails on deeper decoders.
            loss = model(
                input_ids=torch.tensor([example["input"]]), labels=torch.tensor([example["labels"]]), use_cache=False
            ).loss
            yield loss.item()


def base():
    """The model, read without `from_pretrained`: the oldest transformers knows no safetensors without its metadata."""
    from safetensors.torch import load_file
    from transformers import T5Config, T5ForConditionalGeneration

    model = T5ForConditionalGeneration(T5Config.from_pretrained(MODEL))
    state = {name: value.float() for name, value in load_file(MODEL / "model.safetensors").items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all("embed_tokens" in name or name == "lm_head.weight" for name in missing), missing
    model.tie_weights()
    return model.eval()


def make(version):
    """Runs where this version is the one that is imported."""
    import inspect

    import peft
    import torch
    import transformers

    assert peft.__version__ == version, peft.__version__
    torch.set_num_threads(1)
    seed = list(VERSIONS).index(version)
    torch.manual_seed(seed)
    rng = random.Random(seed)
    size = json.loads((MODEL / "config.json").read_text())["vocab_size"]
    ids = lambda count: [rng.randrange(3, size) for _ in range(count)] + [1]
    examples = [{"input": ids(i), "labels": ids(n)} for i, n in zip(INPUTS, LABELS)]

    config = peft.LoraConfig(task_type="SEQ_2_SEQ_LM", **VERSIONS[version][1])
    model = peft.get_peft_model(base(), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape) * 0.7 / parameter.shape[1] ** 0.5)
    folder = OUT / version
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    knows = "safe_serialization" in inspect.signature(model.save_pretrained).parameters
    plain = list(losses(base(), examples))
    found = []
    for options in [{"safe_serialization": False}, {"safe_serialization": True}] if knows else [{}]:
        model.save_pretrained(folder, **options)
        with tempfile.TemporaryDirectory() as alone:
            # Loaded from this file, whichever of the two the version would prefer.
            kind = "adapter_model.safetensors" if options.get("safe_serialization") else "adapter_model.bin"
            for file in ("adapter_config.json", kind):
                (Path(alone) / file).write_bytes((folder / file).read_bytes())
            found.append(list(losses(peft.PeftModel.from_pretrained(base(), alone).eval(), examples)))
    assert all(one == found[0] for one in found), found
    assert all(abs(a / b - 1) > 1e-4 for a, b in zip(found[0], plain)), (found, plain)
    (folder / "README.md").unlink(missing_ok=True)
    for example, loss in zip(examples, found[0]):
        example["loss"] = loss
    made_with = {"peft": peft.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
    (folder / "expected.json").write_text(json.dumps({"made_with": made_with, "examples": examples}) + "\n")
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    print(version, found[0], plain, sizes)


def main():
    if len(sys.argv) > 1:
        make(sys.argv[1])
        return
    for version, (packages, _) in VERSIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
            subprocess.run([*install, f"peft=={version}", *packages], check=True)
            environment = os.environ | {"PYTHONPATH": folder}
            subprocess.run([sys.executable, __file__, version], check=True, env=environment)


if __name__ == "__main__":
    main()
