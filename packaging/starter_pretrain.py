"""Pretraining of the starter model: a small Llama on packed sequences, minutes on two CPU cores."""

from __future__ import annotations

import time
from collections.abc import Iterator
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
STEPS = 2400
RATE = 3e-3
WARMUP = 60
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


def pretrain(folder: Path, steps: int = STEPS) -> None:
    """Train from scratch with the tokenizer in the folder, and save the model there in bf16."""
    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = new_model(tokenizer)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.02, total_iters=WARMUP),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - WARMUP, RATE * 0.02),
        ],
        milestones=[WARMUP],
    )
    began = time.monotonic()
    for step, ids in enumerate(batches(tokenizer, 0, steps), 1):
        # Matrix products in bf16 are half as long where the processor has them.
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(model, ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            spent = time.monotonic() - began
            print(f"step {step} of {steps}, loss {loss.item():.3f}, {spent:.0f} s", flush=True)
    model.to(torch.bfloat16).save_pretrained(folder)
