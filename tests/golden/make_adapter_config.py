#!/usr/bin/env python3
"""Makes the files under tests/golden/adapter_config: an adapter of tests/golden/models/narrow-tied, and the losses that
PEFT gives with configurations that leave out fields or name what T5 does not have.

cases   [{name, config, losses}]   an adapter_config.json for adapter_model.safetensors, and a loss for each example

Run with transformers 4.57 and peft.
"""

import json
import shutil
import tempfile
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoTokenizer, T5ForConditionalGeneration

ROOT = Path(__file__).parent
MODEL, OUT = ROOT / "models" / "narrow-tied", ROOT / "adapter_config"
EXAMPLES = [("a cat sat", "b dog"), ("the sea", "ground is")]


def losses(model, tokenizer):
    found = []
    for text, output in EXAMPLES:
        ids, labels = [tokenizer(one, return_tensors="pt").input_ids for one in (text, output)]
        with torch.no_grad():
            found.append(model(input_ids=ids, labels=labels).loss.item())
    return found


def main():
    torch.manual_seed(5)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    base = lambda: T5ForConditionalGeneration.from_pretrained(MODEL, dtype=torch.float32).eval()
    made = get_peft_model(base(), LoraConfig(r=8, lora_alpha=8, target_modules=["EncDecAttention.q"]))
    for name, parameter in made.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter.data, std=0.4)
    made.save_pretrained(OUT)
    (OUT / "README.md").unlink(missing_ok=True)
    config = json.loads((OUT / "adapter_config.json").read_text())
    (OUT / "adapter_config.json").unlink()
    config["base_model_name_or_path"] = ""
    without = lambda *names: {key: value for key, value in config.items() if key not in names}
    cases = []
    for name, changed in [
        ("as written", config), ("no r", without("r")), ("no lora_alpha", without("lora_alpha")),
        ("neither", without("r", "lora_alpha")), ("no r, another alpha", without("r") | {"lora_alpha": 20}),
        ("bias all", config | {"bias": "all"}), ("bias lora_only", config | {"bias": "lora_only"}),
        ("modules_to_save of no module", config | {"modules_to_save": ["classifier", "score"]}),
    ]:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(OUT / "adapter_model.safetensors", folder)
            (Path(folder) / "adapter_config.json").write_text(json.dumps(changed))
            model = PeftModel.from_pretrained(base(), folder).eval()
            cases.append({"name": name, "config": changed, "losses": losses(model, tokenizer)})
    expected = {
        "made_with": {"transformers": transformers.__version__, "peft": peft.__version__},
        "examples": EXAMPLES, "base": losses(base(), tokenizer),
    }
    lines = ",\n".join(json.dumps(one) for one in cases)
    (OUT / "expected.json").write_text(json.dumps(expected)[:-1] + ',\n"cases": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    main()
