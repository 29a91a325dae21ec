"""Pretraining of the starter model: a small Llama on packed sequences, minutes on two CPU cores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from starter_text import documents
from starter_tokenizer import CONTEXT, END, END_OF_TEXT, PAD
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)

SEQUENCE = 256
BATCH = 8
STEPS = 1600
RATE, MUON_RATE = 3e-3, 0.02
COOLING = 0.5
"""Share of the steps in which the rates fall to nearly zero."""
DRILL_STEPS, DRILL_BATCH, DRILL_HALF = 220, 32, 16
HELDOUT_SEED, HELDOUT_SEQUENCES = 1, 48
LAYERS, HIDDEN, INTERMEDIATE, HEADS, KV_HEADS = 4, 256, 768, 8, 4


def new_model(tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """The untrained model."""
    torch.manual_seed(0)
    end, end_of_text = tokenizer.convert_tokens_to_ids([END, END_OF_TEXT])
    pad = tokenizer.convert_tokens_to_ids(PAD)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=INTERMEDIATE,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        eos_token_id=[end, end_of_text], pad_token_id=pad, max_new_tokens=128
    )
    return model


def sequences(tokenizer: PreTrainedTokenizerBase, seed: int) -> Iterator[list[int]]:
    """Documents end to end, cut into pieces of one length."""
    end = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    buffer: list[int] = []
    for document in documents(seed):
        buffer += [end, *tokenizer.encode(document, add_special_tokens=False)]
        while len(buffer) >= SEQUENCE:
            yield buffer[:SEQUENCE]
            buffer = buffer[SEQUENCE:]


def batches(tokenizer: PreTrainedTokenizerBase, seed: int, count: int) -> Iterator[torch.Tensor]:
    """So many batches of the text of a seed."""
    stream = sequences(tokenizer, seed)
    for _ in range(count):
        yield torch.tensor([next(stream) for _ in range(BATCH)])


def loss_of(model: LlamaForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood per token, in nats."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())


def heldout_loss(folder: Path) -> float:
    """Loss of the saved model on text of a seed that it was not trained on, in 32 bits."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    count = HELDOUT_SEQUENCES // BATCH
    with torch.no_grad():
        losses = [loss_of(model, ids).item() for ids in batches(tokenizer, HELDOUT_SEED, count)]
    return sum(losses) / count


def drills(vocabulary: int, seed: int, count: int) -> Iterator[torch.Tensor]:
    """Batches of random tokens said twice: nothing but copying lowers the loss of the echo."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        half = torch.randint(4, vocabulary, (DRILL_BATCH, DRILL_HALF), generator=generator)
        yield torch.cat([half, half], 1)


def echo_loss(model: LlamaForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    """Loss on the second half of a drill only; the first is noise."""
    logits = model(input_ids=ids, use_cache=False).logits[:, DRILL_HALF:-1]
    echo = ids[:, DRILL_HALF + 1 :].flatten()
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), echo)


class Optimizers:
    """Muon for the matrices, AdamW for the rest; one factor scales both rates.

    Muon (Jordan 2024, torch.optim.Muon) learns to copy within 150 drills, where AdamW alone takes
    more steps than this model is trained for.
    """

    def __init__(self, model: LlamaForCausalLM) -> None:
        matrices, rest = [], []
        for name, parameter in model.named_parameters():
            inner = parameter.ndim == 2 and "embed" not in name
            (matrices if inner else rest).append(parameter)
        self._all = [
            torch.optim.Muon(matrices, lr=MUON_RATE, momentum=0.95, weight_decay=0.01),
            torch.optim.AdamW(rest, lr=RATE, betas=(0.9, 0.95), weight_decay=0.01, fused=True),
        ]

    def step(self, model: LlamaForCausalLM, loss: torch.Tensor, factor: float) -> None:
        """One update at a share of the full rates."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, rate in zip(self._all, (MUON_RATE, RATE), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad()


def pretrain(folder: Path, steps: int = STEPS) -> None:
    """Drills first, then text, with the tokenizer in the folder; saves the model there in bf16."""
    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = new_model(tokenizer)
    optimizers = Optimizers(model)
    began = time.monotonic()
    for step, ids in enumerate(drills(len(tokenizer), 0, DRILL_STEPS), 1):
        _advance(optimizers, model, echo_loss, ids, 1.0, f"drill {step} of {DRILL_STEPS}", began)
    for step, ids in enumerate(batches(tokenizer, 0, steps), 1):
        factor = min(1.0, max(0.02, (steps - step) / (steps * COOLING)))
        _advance(optimizers, model, loss_of, ids, factor, f"step {step} of {steps}", began)
    model.to(torch.bfloat16).save_pretrained(folder)


def _advance(
    optimizers: Optimizers,
    model: LlamaForCausalLM,
    measure: Callable[[LlamaForCausalLM, torch.Tensor], torch.Tensor],
    ids: torch.Tensor,
    factor: float,
    label: str,
    began: float,
) -> None:
    # Matrix products in bf16 are half as long where the processor has them.
    with torch.autocast("cpu", torch.bfloat16):
        loss = measure(model, ids)
    optimizers.step(model, loss, factor)
    if int(label.split()[1]) % 50 == 0:
        print(f"{label}, loss {loss.item():.3f}, {time.monotonic() - began:.0f} s", flush=True)
