"""Measures PyTorch (transformers and PEFT) on the geometries of the benchmark.

Reads a request in JSON from each line of standard input and writes an answer on a line of standard
output: `{"prepare": WORKLOAD}` and `"sample"`, as LoraLoom's own runner does. Weights are random.

    torch_runner.py [--device cpu|cuda] --dtype f32|bf16|f16|int8 --threads N
"""

import argparse
import json
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

GEOMETRIES = {
    "flan-t5-small": {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6},
    "flan-t5-base": {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
}


def random_model(name):
    """A T5 v1.1 of a published geometry with the weights of its initialisation."""
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=32128,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
        dropout_rate=0.0,
        **GEOMETRIES[name],
    )
    return T5ForConditionalGeneration(config).eval()


def with_module(model, rank):
    """The model with one random LoRA module on q and v, as a composition is applied."""
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q", "v"], lora_dropout=0.0)
    model = get_peft_model(model, lora)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return model.eval()


def in_dtype(model, dtype):
    """The model in bf16 or f16, or with its base's linear layers in dynamic int8; f32 stays."""
    if dtype == "bf16":
        return model.to(torch.bfloat16)
    if dtype == "f16":
        return model.to(torch.float16)
    if dtype == "int8":
        # LoRA's own matrices stay in f32: PEFT asks for their dtype.
        base = {
            name: torch.ao.quantization.default_dynamic_qconfig
            for name, layer in model.named_modules()
            if isinstance(layer, torch.nn.Linear) and "lora_" not in name
        }
        return torch.ao.quantization.quantize_dynamic(model, base, dtype=torch.qint8)
    return model


class LorahubLearning:
    """The loop of the reference implementation, written anew from its description: for each point
    that nevergrad's NGOpt asks for, A and B of all modules are added up apart with the weights,
    loaded into the model, and the loss of the examples is divided by their number."""

    def __init__(self, model, batch, modules, rank, budget):
        self.model = with_module(model, rank)
        self.batch, self.budget = batch, budget
        state = get_peft_model_state_dict(self.model)
        self.modules = [
            {key: torch.randn_like(value) * 0.02 for key, value in state.items()}
            for _ in range(modules)
        ]

    def score(self, weights):
        merged = {}
        for weight, module in zip(weights, self.modules):
            for key, value in module.items():
                merged[key] = merged[key] + weight * value if key in merged else weight * value
        set_peft_model_state_dict(self.model, merged)
        with torch.no_grad():
            loss = self.model(**self.batch).loss.item() / len(self.batch["labels"])
        return loss + 0.05 * sum(abs(weight) for weight in weights) / len(weights)

    def run(self):
        import nevergrad

        dimensions = len(self.modules)
        space = nevergrad.p.Array(
            init=[0.0] * dimensions, lower=[-1.5] * dimensions, upper=[1.5] * dimensions
        )
        optimizer = nevergrad.optimizers.NGOpt(parametrization=space, budget=self.budget)
        return optimizer.minimize(self.score).value


class Runner:
    def __init__(self, dtype, device):
        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError(f"PyTorch {torch.__version__} finds no CUDA here")
        self.dtype, self.device = dtype, device
        self.models = {}
        self.work = None

    def model(self, name, rank=None):
        """The model of that geometry, with a module if a rank is given; the last one is kept."""
        if (name, rank) not in self.models:
            model = random_model(name)
            if rank is not None:
                model = with_module(model, rank)
            self.models = {(name, rank): in_dtype(model, self.dtype).to(self.device)}
        return self.models[(name, rank)]

    def prepare(self, workload):
        measure = workload["measure"]
        shape = (workload["examples"], workload["tokens"])
        inputs = torch.randint(2, 32128, shape, device=self.device)
        if measure == "encoder":
            encoder = self.model(workload["model"]).encoder
            self.work = lambda: encoder(input_ids=inputs)
        elif measure in ("loss", "learn"):
            labels = torch.randint(
                2, 32128, (workload["examples"], workload["targets"]), device=self.device
            )
            batch = {"input_ids": inputs, "labels": labels}
            if measure == "learn":
                model = in_dtype(random_model(workload["model"]), self.dtype).to(self.device)
                learning = LorahubLearning(
                    model, batch, workload["modules"], workload["rank"], workload["budget"]
                )
                self.work = learning.run
            else:
                model = self.model(workload["model"], workload["rank"])
                self.work = lambda: model(**batch).loss.item()
        elif measure in ("seq2seq", "decode"):
            model = self.model(workload["model"])
            tokens = workload["newTokens"]
            length = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
            if measure == "seq2seq":
                self.work = lambda: model.generate(inputs, **length)
            else:
                with torch.inference_mode():
                    states = model.encoder(input_ids=inputs).last_hidden_state
                # `generate` changes what it is given, so each call gets its own.
                self.work = lambda: model.generate(
                    encoder_outputs=BaseModelOutput(last_hidden_state=states), **length
                )
        else:
            raise ValueError(f"PyTorch has no measurement of {measure}")
        return {}

    def sample(self):
        start = time.perf_counter()
        with torch.inference_mode():
            self.work()
        # What a card was given may still be running.
        if self.device == "cuda":
            torch.cuda.synchronize()
        return {"seconds": time.perf_counter() - start, "tokens": 0}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["f32", "bf16", "f16", "int8"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runner = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            runner = runner or Runner(arguments.dtype, arguments.device)
            answer = runner.sample() if request == "sample" else runner.prepare(request["prepare"])
        except Exception as error:  # whatever went wrong is told to who asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
