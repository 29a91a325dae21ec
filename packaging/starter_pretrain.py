"""Pretraining of the starter model: a small Llama, half an hour on two CPU cores.

Documents are not packed and questions are only read, not learned: with other documents in sight and
unguessable words in the loss, a model of this size does not find out how to look things up.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from starter_text import END, END_OF_TEXT, Document, documents
from starter_tokenizer import CONTEXT, PAD
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)

BATCH = 32
STEPS = 1000
RATE, MUON_RATE = 3e-3, 0.02
COOLING = 0.5
"""Share of the steps in which the rates fall to nearly zero."""
DRILL_STEPS, DRILL_BATCH, DRILL_HALF = 150, 32, 16
HELDOUT_SEED, HELDOUT_BATCHES = 1, 16
IGNORED = -100
Row = tuple[list[int], list[int]]
Batch = tuple[torch.Tensor, torch.Tensor]
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


def encoded(tokenizer: PreTrainedTokenizerBase, document: Document) -> Row:
    """Token ids and labels of a document; what is only read has the label that losses ignore."""
    ids: list[int] = []
    labels: list[int] = []
    for text, learned in document:
        tokens = tokenizer.encode(text, add_special_tokens=False)
        ids += tokens
        labels += tokens if learned else [IGNORED] * len(tokens)
    return ids, labels


def batches(tokenizer: PreTrainedTokenizerBase, seed: int, count: int) -> Iterator[Batch]:
    """So many batches of the text of a seed; every kind of document is in each."""
    rows = (encoded(tokenizer, document) for document in documents(seed))
    for _ in range(count):
        yield padded(list(itertools.islice(rows, BATCH)), tokenizer.pad_token_id)


def padded(rows: Sequence[Row], pad: int) -> Batch:
    """Rows as two tensors of one width; causal attention never looks at what follows a row."""
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([row + [pad] * (width - len(row)) for row, _ in rows])
    labels = torch.tensor([row + [IGNORED] * (width - len(row)) for _, row in rows])
    return ids, labels


def loss_of(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean negative log-likelihood per learned token, in nats."""
    ids, labels = batch
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED
    )


def heldout_loss(folder: Path) -> float:
    """Mean loss of the saved model over batches of a seed it was not trained on, in 32 bits."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    batched = batches(tokenizer, HELDOUT_SEED, HELDOUT_BATCHES)
    with torch.no_grad():
        losses = [loss_of(model, batch).item() for batch in batched]
    return sum(losses) / len(losses)


def drills(vocabulary: int, seed: int, count: int) -> Iterator[Batch]:
    """Batches of random tokens said twice: nothing but copying lowers the loss of the echo."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        half = torch.randint(4, vocabulary, (DRILL_BATCH, DRILL_HALF), generator=generator)
        labels = torch.cat([torch.full_like(half, IGNORED), half], 1)
        labels[:, DRILL_HALF] = IGNORED  # the first echo cannot be known to be one
        yield torch.cat([half, half], 1), labels


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
    for step, batch in enumerate(drills(len(tokenizer), 0, DRILL_STEPS), 1):
        loss = _advance(optimizers, model, batch, 1.0)
        _tell(f"drill {step} of {DRILL_STEPS}", step, loss, began)
    for step, batch in enumerate(batches(tokenizer, 0, steps), 1):
        factor = min(1.0, max(0.02, (steps - step) / (steps * COOLING)))
        loss = _advance(optimizers, model, batch, factor)
        _tell(f"step {step} of {steps}", step, loss, began)
    model.to(torch.bfloat16).save_pretrained(folder)


def _advance(optimizers: Optimizers, model: LlamaForCausalLM, batch: Batch, factor: float) -> float:
    # Matrix products in bf16 are half as long where the processor has them.
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model, batch)
    optimizers.step(model, loss, factor)
    return loss.item()


def _tell(label: str, step: int, loss: float, began: float) -> None:
    if step % 50 == 0:
        print(f"{label}, loss {loss:.3f}, {time.monotonic() - began:.0f} s", flush=True)
