"""Training of the base model on generated instructions.

Owns the optimiser's settings, the schedule, the checkpoint (weights, optimiser, step and the
state of the data's random generator) and the base's report by skill.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import T5ForConditionalGeneration

from .feed import Feed
from .model import Batch, Shape, config_of, generate, matches, token_losses
from .prompts import Combination, compose
from .tasks import BASE_SKILLS, draw_base

_RELATIVE_BIAS_RATE = 10.0
_CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class BaseTraining:
    """How long and how fast the base learns. After ``warmup`` steps the rate falls with the
    square root of the step, and to zero in the last ``decay`` steps: until then it does not depend
    on ``steps``, so that a run can be prolonged from its checkpoint."""

    shape: Shape
    steps: int
    batch: int
    learning_rate: float = 1.5e-3
    warmup: int = 300
    decay: int = 900
    seed: int = 1


def _optimizer(model: T5ForConditionalGeneration) -> torch.optim.AdamW:
    relative, other = [], []
    for name, parameter in model.named_parameters():
        (relative if "relative_attention_bias" in name else other).append(parameter)
    return torch.optim.AdamW(
        [{"params": other, "rate": 1.0}, {"params": relative, "rate": _RELATIVE_BIAS_RATE}],
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )


def _rate(training: BaseTraining, step: int) -> float:
    decay = min(1.0, (training.steps - step) / training.decay)
    decay *= min(1.0, (training.warmup / (step + 1)) ** 0.5)
    return training.learning_rate * min(1.0, (step + 1) / training.warmup) * decay


def train(
    training: BaseTraining, tokenizer: Tokenizer, folder: Path, device: torch.device
) -> T5ForConditionalGeneration:
    """Trains from the last checkpoint in ``folder``, or returns the finished base."""
    torch.manual_seed(training.seed)
    rng = random.Random(training.seed)
    model = T5ForConditionalGeneration(config_of(training.shape, tokenizer.get_vocab_size()))
    model.lm_head.weight.data *= training.shape.d_model**-0.5
    model.to(device)
    optimizer = _optimizer(model)
    feed = Feed(tokenizer, draw_base, training.batch)
    checkpoint, step = folder / "base.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        rng.setstate(state["random"])
        step = state["step"]
        print(f"base: resumed at step {step}", flush=True)

    def save() -> None:
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": rng.getstate(),
            "step": step,
        }
        torch.save(state, checkpoint.with_suffix(".tmp"))
        checkpoint.with_suffix(".tmp").replace(checkpoint)

    started = saved = time.monotonic()
    first, average = step, math.nan
    while step < training.steps:
        for group in optimizer.param_groups:
            group["lr"] = _rate(training, step) * group["rate"]
        loss = _step(model, feed.draw(rng))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average = loss if math.isnan(average) else 0.95 * average + 0.05 * loss
        step += 1
        if step % 50 == 0 or step == training.steps:
            left = (time.monotonic() - started) / (step - first) * (training.steps - step)
            print(
                f"base: step {step}/{training.steps} loss {average:.3f} ETA {left:.0f} s",
                flush=True,
            )
        if time.monotonic() - saved > _CHECKPOINT_SECONDS or step == training.steps:
            save()
            saved = time.monotonic()
    return model.eval()


def _step(model: T5ForConditionalGeneration, batches: list[Batch]) -> float:
    """Accumulates the gradient of the mean token loss and returns that loss."""
    tokens = sum(int((batch.labels != -100).sum()) for batch in batches)
    # One autocast region and one backward pass, so that weights are cast once in a step.
    with torch.autocast(model.device.type, torch.bfloat16):
        total = sum(token_losses(model, batch.to(model.device))[0].sum() for batch in batches)
    loss = total / tokens
    loss.backward()
    return loss.item()


def report(
    model: T5ForConditionalGeneration, tokenizer: Tokenizer, seed: int, count: int
) -> dict[str, float]:
    """Zero-shot exact match (per cent) on each skill the base was taught."""
    rng = random.Random(seed)
    result = {}
    for skill in BASE_SKILLS:
        examples = [compose(rng, Combination(skill)) for _ in range(count)]
        answers = generate(model, tokenizer, [source for source, _ in examples])
        result[skill] = 100.0 * sum(matches(answers, examples)) / count
    return result
