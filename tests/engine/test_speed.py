"""Whatever makes training faster must not change what is learned."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForCausalLM, TrainerCallback
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from core.engine import attention
from core.engine.attention import JOINED, implementation
from core.engine.emit import Voice
from core.engine.quiet import Quiet
from core.engine.run import _make_trainer, open_job, read_rows
from core.engine.trainer import Trainer
from core.engine.wishes import Wishes
from core.places import starter
from core.recipe import Recipe
from core.rundir import RunDir
from tests.engine.conftest import create, go, losses

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]

SIZES = (9, 30, 1, 17)
"""Rows of a batch; some are longer than the window below."""
SMALL: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 64, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
WINDOW: dict[str, Any] = {"sliding_window": 8}
GEMMA = {"layer_types": ["sliding_attention", "full_attention"], **WINDOW}
FAMILIES = [
    ("llama", {}),
    ("qwen3", {}),
    ("mistral", WINDOW),
    ("gemma3_text", GEMMA),
]
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
MORE = [
    *((kind, {}) for kind in ("qwen2", "phi3", "olmo2", "smollm3", "granite", "phi")),
    ("qwen3_moe", EXPERTS),
]

Kernel = Callable[..., Tensor]


def build(kind: str, extra: dict[str, Any], attends: str) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SMALL, **extra)
    assert implementation(config, joined=True) == JOINED
    return AutoModelForCausalLM.from_config(config, attn_implementation=attends)


def batch(*, joined: bool) -> dict[str, Any]:
    """The same rows, padded to the longest or joined to one, by TRL's own collator."""
    numbers = torch.Generator().manual_seed(1)
    rows = [torch.randint(3, 64, (size,), generator=numbers).tolist() for size in SIZES]
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=joined)
    made: dict[str, Any] = collate([{"input_ids": row, "labels": row} for row in rows])
    return made


def learned(model: Any, inputs: dict[str, Any]) -> tuple[float, list[Tensor]]:
    """The loss of a batch and its gradients."""
    inputs = dict(inputs)
    labels = inputs.pop("labels")[:, 1:]
    logits = model(**inputs, use_cache=False).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    loss.backward()
    return loss.item(), [p.grad for p in model.parameters() if p.grad is not None]


def in_one_kernel(
    query: Tensor, key: Tensor, value: Tensor, cu_q: Tensor, cu_k: Tensor, *lengths: int,
    scale: float | None, window_size: tuple[int, int], enable_gqa: bool,
) -> Tensor:  # fmt: skip
    """Stands where torch's CUDA kernel is, which no processor has: what its documentation says,
    in one dense mask over all rows."""
    assert lengths == (max(SIZES), max(SIZES))
    assert (cu_q == cu_k).all()
    assert window_size[1] == 0
    assert enable_gqa
    row = torch.repeat_interleave(torch.arange(len(cu_q) - 1), cu_q.diff())
    place = torch.arange(len(row))
    back = place[:, None] - place[None]
    seen = (row[:, None] == row[None]) & (back >= 0)
    if window_size[0] >= 0:
        seen &= back <= window_size[0]
    sides = (each.transpose(0, 1) for each in (query, key, value))
    found = torch.nn.functional.scaled_dot_product_attention(
        *sides, attn_mask=seen, scale=scale, enable_gqa=True
    )
    return found.transpose(0, 1)


@pytest.fixture(params=["row by row", "in one kernel"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The way of this processor, and that of a GPU with its kernel emulated; calls are listed."""
    calls: list[str] = []
    if request.param == "in one kernel":
        monkeypatch.setattr(attention, "flashes", lambda query: True)
        monkeypatch.setattr(attention, "_half", lambda tensor: tensor.dtype)
        monkeypatch.setattr(attention, "varlen_attn", in_one_kernel)
    name = "flash" if request.param == "in one kernel" else "row_by_row"
    usual: Kernel = getattr(attention, name)

    @functools.wraps(usual)
    def listed(*given: Any) -> Tensor:
        calls.append(name)
        return usual(*given)

    monkeypatch.setattr(attention, name, listed)
    return calls


def check(kind: str, extra: dict[str, Any], calls: list[str]) -> None:
    usual, gradients = learned(build(kind, extra, "sdpa"), batch(joined=False))
    ours = build(kind, extra, JOINED)
    loss, found = learned(ours, batch(joined=True))
    assert len(calls) == SMALL["num_hidden_layers"], "the way under test was not taken"
    assert loss == pytest.approx(usual, rel=1e-5)
    for theirs, mine in zip(gradients, found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    ours.zero_grad()
    padded, _ = learned(ours, batch(joined=False))
    assert padded == pytest.approx(usual, rel=1e-6)
    assert len(calls) == SMALL["num_hidden_layers"], "padded rows go the usual way"


@pytest.mark.parametrize(("kind", "extra"), FAMILIES)
def test_joined_rows_teach_what_padded_rows_teach(
    kind: str, extra: dict[str, Any], kernel: list[str]
) -> None:
    check(kind, extra, kernel)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "extra"), MORE)
def test_joined_rows_of_more_families(kind: str, extra: dict[str, Any], kernel: list[str]) -> None:
    check(kind, extra, kernel)


@pytest.mark.parametrize(("kind", "extra"), FAMILIES)
def test_joined_rows_without_their_lengths_are_masked(kind: str, extra: dict[str, Any]) -> None:
    """A caller that only says positions gets the mask that was put off."""
    usual, _ = learned(build(kind, extra, "sdpa"), batch(joined=False))
    inputs = batch(joined=True)
    only = {name: inputs[name] for name in ("input_ids", "labels", "position_ids")}
    found, _ = learned(build(kind, extra, JOINED), only)
    assert found == pytest.approx(usual, rel=1e-5)


@pytest.mark.parametrize(("kind", "extra"), FAMILIES)
def test_answers_are_written_as_ever(kind: str, extra: dict[str, Any]) -> None:
    ids = torch.arange(3, 33)[None]
    made = [
        build(kind, extra, name).generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False
        )
        for name in ("sdpa", JOINED)
    ]
    assert made[0].equal(made[1])


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("gemma2", {}),
        ("gpt_oss", {}),
        ("qwen3_next", {}),
        ("mamba", {}),
        ("llama4_text", {}),
    ],
)
def test_bounded_or_remembering_layers_are_never_joined(kind: str, extra: dict[str, Any]) -> None:
    assert implementation(AutoConfig.for_model(kind, **extra), joined=True) != JOINED


def steps(root: Path, recipe: Recipe) -> tuple[RunDir, list[float], list[int]]:
    run = create(root, recipe)
    story = go(run)
    return run, losses(story), [step.tokens for step in story.steps]


@pytest.fixture
def short(recipe: Recipe) -> Recipe:
    """Three steps and nothing measured."""
    return recipe.edit("training.max_steps", 3).edit("data.heldout_share", 0)


@pytest.mark.slow
def test_a_run_without_padding_learns_the_same(
    tmp_path: Path, short: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, found, tokens = steps(tmp_path / "joined", short)
    assert '"padding_free":true' in run.plan_file.read_text().replace(" ", "")
    monkeypatch.setattr("core.engine.imitate.JOINED", "nothing")  # as if no family could
    _, usual, read = steps(tmp_path / "padded", short)
    assert found == pytest.approx(usual, rel=1e-5)
    assert tokens == read


class Waits(TorchDispatchMode):  # type: ignore[misc]
    """Counts how often Python asks a device for a number, outside of the model itself."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.found, self.inside = 0, False
        model.register_forward_pre_hook(lambda *_: setattr(self, "inside", True))
        model.register_forward_hook(lambda *_: setattr(self, "inside", False))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.found += "_local_scalar_dense" in func.name() and not self.inside
        return func(*args, **(kwargs or {}))


@pytest.fixture
def trainer(tmp_path: Path, short: Recipe) -> Iterator[Any]:
    """The engine's trainer, before its first step."""
    run = create(tmp_path / "run", short)
    with contextlib.closing(Voice(run)) as voice:
        job = open_job(run, voice, Wishes(run, 0))
        tokenizer, lesson = read_rows(job, starter())
        yield _make_trainer(job, lesson.load(starter(), job.settings), tokenizer, lesson)


def test_a_batch_is_computed_without_waiting(trainer: Any) -> None:
    """The same loss as TRL's, which asks for its figures in every batch."""
    trainer.model.train()
    inputs = trainer.data_collator([trainer.train_dataset[at] for at in range(4)])
    trained = (inputs["labels"][:, 1:] != -100).sum()
    found = []
    for kind in (Trainer, SFTTrainer):
        with Waits(trainer.model) as waits:
            loss = kind.compute_loss(trainer, trainer.model, inputs, num_items_in_batch=trained)
        found.append((loss.item(), waits.found))
    (ours, waited), (theirs, longer) = found
    assert ours == theirs
    assert waited == 0
    assert longer > 0


class Remember(TrainerCallback):  # type: ignore[misc]
    """Keeps all weights as they are after each step."""

    def __init__(self, model: Any, moments: list[dict[str, Tensor]]) -> None:
        self._model, self._moments = model, moments

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Called once the optimizer is done."""
        self._moments.append({n: p.detach().clone() for n, p in self._model.named_parameters()})


def test_one_bad_batch_of_several_changes_no_weight(
    trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The losses of a step are looked at together, right before the weights would change."""
    usual = Quiet.compute_loss
    calls: list[Tensor] = []

    def once_broken(self: Any, *given: Any, **named: Any) -> Any:
        calls.append(usual(self, *given, **named))
        return calls[-1] * (math.inf if len(calls) == 3 else 1)

    monkeypatch.setattr(Quiet, "compute_loss", once_broken)
    moments: list[dict[str, Tensor]] = []
    trainer.add_callback(Remember(trainer.model, moments))
    trainer.train()
    assert len(calls) == 2 * len(moments), "two batches for each step"
    assert len(trainer.state.log_history) == len(moments), "the closing summary, and all but one"
    for name, weight in moments[1].items():
        assert weight.equal(moments[0][name]), name
    assert any(not weight.equal(moments[1][name]) for name, weight in moments[2].items())
