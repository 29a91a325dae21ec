"""A smoothed aim moves weights as its formula says, and is told as the plain loss."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, MixtralConfig

from core.engine.encode import IGNORED
from core.engine.trainer import Watched
from core.places import starter
from core.recipe import Recipe
from tests.engine.conftest import create, go, losses, weights
from tests.engine.test_optimizers import stop_at, trainer_of

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
SHARE = 0.1
WAYS: dict[str, dict[str, Any]] = {
    "full": {"adaptation": {"kind": "full"}},
    "places before the rows": {"adaptation": {"kind": "prompt", "tokens": 4}},
    "packed rows": {"objective": {"kind": "sft", "packing": "on"}},
}


@pytest.fixture
def smooth(recipe: Recipe) -> Recipe:
    """Three steps with a smoothed aim."""
    return recipe.edit("training.label_smoothing", SHARE).edit("training.max_steps", 3)


@contextmanager
def first_batch(root: Path, recipe: Recipe) -> Iterator[tuple[Watched, dict[str, Any], int]]:
    """A trainer before its first step, what it reads then, and the trained tokens of a step."""
    with trainer_of(root, recipe) as trainer:
        trainer.model.train()
        rows = iter(trainer.get_train_dataloader())
        (batch, _), count = trainer.get_batch_samples(rows, 2, trainer.args.device)
        yield trainer, batch, int(count)


def by_hand(model: Any, batch: dict[str, Any], share: float) -> torch.Tensor:
    """Cross-entropy of the next tokens, as torch has it, summed up."""
    read = {name: value for name, value in batch.items() if name != "labels"}
    logits = model(**read, use_cache=False).logits[:, -batch["labels"].shape[1] : -1]
    wanted = batch["labels"][:, 1:].flatten()
    return cross_entropy(
        logits.flatten(0, 1), wanted, ignore_index=IGNORED, label_smoothing=share, reduction="sum"
    )


def embeddings(model: Any) -> Any:
    """What is asked for every word that is read."""
    return getattr(model, "word_embeddings", model.get_input_embeddings())


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize(
    "way", ["full", *(pytest.param(way, marks=pytest.mark.slow) for way in [*WAYS][1:])]
)
def test_gradients_are_those_of_the_formula(tmp_path: Path, smooth: Recipe, way: str) -> None:
    for path, value in WAYS[way].items():
        smooth = smooth.edit(path, value)
    with first_batch(tmp_path / "run", smooth) as (trainer, batch, count):
        reads: list[Any] = []
        hook = embeddings(trainer.model).register_forward_hook(lambda *_: reads.append(1))
        loss = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=count)
        assert len(reads) == 1, "the model reads a batch once"
        hook.remove()
        loss.backward()
        found = gradients(trainer.model)
        (by_hand(trainer.model, batch, SHARE) / count).backward()
        expected = gradients(trainer.model)
        plain = by_hand(trainer.model, batch, 0.0) / count
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-7)
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5), "the plain loss is told"


def test_the_experts_of_a_mixture_stay_balanced(tmp_path: Path, smooth: Recipe) -> None:
    """With hardly anything spread, everything is as TRL has it."""
    mixture = smooth.edit("model", str(small_mixture(tmp_path / "mixture")))
    mixture = mixture.edit("adaptation", {"kind": "full"})
    found = []
    for share in (1e-12, 0.0):
        chosen = mixture.edit("training.label_smoothing", share)
        with first_batch(tmp_path / str(share), chosen) as (trainer, batch, count):
            trainer.current_gradient_accumulation_steps = 2
            loss = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=count)
            loss.backward()
            found.append((loss.item(), gradients(trainer.model)))
    (mine, ours), (theirs, usual) = found
    assert mine == pytest.approx(theirs, rel=1e-5)
    for name, gradient in usual.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-7)


def small_mixture(folder: Path) -> Path:
    """A mixture of experts that has learned nothing, with the starter model's words."""
    shutil.copytree(starter(), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=4096, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, num_local_experts=4, eos_token_id=2,
        router_aux_loss_coef=0.1,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_one_by_eight_equals_eight_by_one_and_differs_from_plain(
    tmp_path: Path, smooth: Recipe
) -> None:
    found = []
    for micro in (1, 8):
        cut = smooth.edit("training.micro_batch", micro)
        cut = cut.edit("training.accumulation", 8 // micro)
        found.append(losses(go(create(tmp_path / str(micro), cut))))
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    plain = go(create(tmp_path / "plain", smooth.edit("training.label_smoothing", 0.0)))
    assert found[0][0] == pytest.approx(losses(plain)[0], rel=1e-5), "no step was taken yet"
    assert found[0][-1] != pytest.approx(losses(plain)[-1], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sft", "pretrain"])
def test_it_learns_and_goes_on_bit_for_bit(tmp_path: Path, smooth: Recipe, kind: str) -> None:
    if kind == "pretrain":
        texts = tmp_path / "texts.txt"
        texts.write_text("\n\n".join(f"The answer to {n} is {n + 1}." for n in range(80)))
        smooth = smooth.edit("objective", {"kind": "pretrain"}).edit("data", {"path": str(texts)})
    chosen = smooth.edit("training.max_steps", 6).edit("training.warmup", 0)
    whole, halves = create(tmp_path / "whole", chosen), create(tmp_path / "halves", chosen)
    story = go(whole)
    assert losses(story)[-1] < losses(story)[0]
    go(halves, stop_at(3))
    assert losses(go(halves)) == losses(story)
    assert weights(halves) == weights(whole)
