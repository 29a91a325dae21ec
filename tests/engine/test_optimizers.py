"""Every optimizer learns, is saved whole, and keeps the states that the bill says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

from core import models
from core.adapt import Full, Lora
from core.adapt.base import Adaptation
from core.engine.optimizers import MuonAndAdamW
from core.engine.run import build_trainer, open_job, read_rows
from core.engine.state import OPTIMIZER, recall
from core.engine.trace import trace
from core.engine.trainer import Watch, Watched
from core.engine.wishes import Wishes
from core.errors import RunError
from core.events import Event, Step
from core.history import History
from core.memory import Setup, estimate
from core.memory.states import count_states
from core.memory.widths import widths
from core.models import shape_from_config
from core.plan import Plan
from core.recipe import Recipe
from core.rundir import RunDir
from tests.core.memory_rows import configuration
from tests.engine.conftest import Listening, create, go, losses, plan_of, weights

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
KINDS = ("adamw", "adamw_8bit", "adafactor", "lion", "lion_8bit", "muon")


def made(recipe: Recipe, kind: str, adaptation: str = "full", **training: object) -> Recipe:
    """Six steps with an optimizer, fast enough to learn something."""
    chosen = recipe.edit("adaptation", {"kind": adaptation}).edit("training.optimizer", kind)
    rate = 2e-4 if kind.startswith("lion") else 1e-3
    for name, value in {"max_steps": 6, "warmup": 0, "learning_rate": rate, **training}.items():
        chosen = chosen.edit(f"training.{name}", value)
    return chosen.edit("checks.every", 3)


@contextmanager
def trainer_of(root: Path, recipe: Recipe, plan: Plan | None = None) -> Iterator[Watched]:
    """The trainer of a run, before its first step."""
    run = RunDir.create(root, recipe, (plan or plan_of(recipe)).model_dump_json())
    with closing(Listening(run, lambda run, event: None)) as voice:
        job = open_job(run, voice, Wishes(run, 0))
        folder = models.resolve(recipe.model)
        tokenizer, lesson = read_rows(job, folder)
        model, data = lesson.load(folder, job.settings), lesson.dataset()
        watch = Watch(run, voice, job.wishes, job.settings, None, lambda model, step: None)
        yield build_trainer(lesson.trainer, job, watch, model, tokenizer, lesson, data)


def stop_at(step: int) -> Any:
    def listen(run: RunDir, event: Event) -> None:
        if isinstance(event, Step) and event.step == step:
            run.ask("stop")

    return listen


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_goes_on_bit_for_bit(tmp_path: Path, recipe: Recipe, kind: str) -> None:
    chosen = made(recipe, kind)
    whole = create(tmp_path / "whole", chosen)
    story = go(whole)
    assert losses(story)[-1] < losses(story)[0]
    after = story.evaluations[-1].loss
    assert after is not None
    assert after < before(story)
    halves = create(tmp_path / "halves", chosen)
    go(halves, stop_at(3))
    assert losses(go(halves)) == losses(story)
    assert weights(halves) == weights(whole)
    assert saved_states(whole) == pytest.approx(billed(chosen), rel=0.02, abs=200_000)


def before(story: History) -> float:
    """Held-out loss of the untrained model."""
    assert story.before is not None
    assert story.before.loss is not None
    return story.before.loss


PARTED: dict[str, tuple[str, str, dict[str, object]]] = {
    "LoRA+": ("adamw", "lora", {"lora_plus": 16, "learning_rate": 5e-4}),
    "LoRA+ in 8 bits": ("adamw_8bit", "lora", {"lora_plus": 16, "learning_rate": 5e-4}),
    "embeddings": ("adamw_8bit", "full", {"embedding_rate": 1e-4, "weight_decay": 0.1}),
    "embeddings beside Muon": ("muon", "full", {"embedding_rate": 1e-4}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", PARTED)
def test_rates_of_their_own_go_on_bit_for_bit(tmp_path: Path, recipe: Recipe, case: str) -> None:
    kind, adaptation, changes = PARTED[case]
    chosen = made(recipe, kind, adaptation, **changes)
    whole, halves = create(tmp_path / "whole", chosen), create(tmp_path / "halves", chosen)
    story = go(whole)
    assert losses(story)[-1] < losses(story)[0]
    go(halves, stop_at(3))
    assert losses(go(halves)) == losses(story)
    assert weights(halves) == weights(whole)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, "galore_adamw", "apollo_mini"])
def test_trial_steps_move_no_weight(tmp_path: Path, recipe: Recipe, kind: str) -> None:
    chosen = made(recipe, kind, embedding_rate=1e-2, weight_decay=0.1)
    plan = plan_of(chosen)
    assert plan.settings is not None
    still = plan.settings.model_copy(update={"learning_rate": 0.0})
    planned = plan.model_copy(update={"settings": still})
    with trainer_of(tmp_path / "run", chosen, planned) as trainer:
        before = [weight.detach().clone() for weight in trainer.model.parameters()]
        trainer.train()
    assert all(map(torch.equal, before, trainer.model.parameters()))


@pytest.mark.slow
def test_embeddings_beside_an_adapter_take_their_own_rate(tmp_path: Path, recipe: Recipe) -> None:
    beside = {"kind": "lora", "train_whole": ["embed_tokens"]}
    chosen = recipe.edit("adaptation", beside).edit("training.embedding_rate", 1e-4)
    with trainer_of(tmp_path / "run", chosen, plan_of(chosen)) as trainer:
        groups = trainer.create_optimizer().param_groups
    tables = [group for group in groups if any(p.shape[0] == 4096 for p in group["params"])]
    assert [group["lr"] for group in tables] == [1e-4]
    assert len({group["lr"] for group in groups}) == 2


def saved_states(run: RunDir) -> int:
    """Bytes of the optimizer states in the last checkpoint."""
    states = recall(run.checkpoint(6), OPTIMIZER)["state"]
    return sum(leaf.nbytes for leaf in tree_leaves(states) if torch.is_tensor(leaf))


def billed(recipe: Recipe) -> int:
    """What the plan counts as optimizer states; what an update takes for a while is no part."""
    model = models.look(models.resolve(recipe.model))
    setup = Setup(
        cuda=False,
        dtype="fp32",
        optimizer=recipe.training.optimizer,
        directions=recipe.training.directions,
    )
    return count_states(model, recipe.adaptation, setup, widths(recipe.adaptation, setup)).optimizer


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adamw_8bit", "lion"])
def test_adapters_learn_with_rounded_states_too(tmp_path: Path, recipe: Recipe, kind: str) -> None:
    story = go(create(tmp_path / "run", made(recipe, kind, "lora", learning_rate=2e-3)))
    assert losses(story)[-1] < losses(story)[0]


def rates(trainer: Watched) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay by the name of each trained weight."""
    names = {id(weight): name for name, weight in trainer.model.named_parameters()}
    return {
        names[id(weight)]: (group["lr"], group["weight_decay"])
        for group in trainer.create_optimizer().param_groups
        for weight in group["params"]
    }


def test_lora_plus_is_for_the_matrix_that_begins_at_zero(tmp_path: Path, recipe: Recipe) -> None:
    chosen = made(recipe, "adamw", "lora", lora_plus=16)
    with trainer_of(tmp_path / "run", chosen) as trainer:
        found = rates(trainer)
    assert len(found) > 20
    for name, (rate, _) in found.items():
        assert rate == pytest.approx(16e-3 if "lora_B" in name else 1e-3)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_embeddings_have_a_rate_of_their_own_and_norms_no_decay(
    tmp_path: Path, recipe: Recipe, kind: str
) -> None:
    chosen = made(recipe, kind, embedding_rate=1e-4, weight_decay=0.1)
    with trainer_of(tmp_path / "run", chosen) as trainer:
        found = rates(trainer)
    trained = [name for name, weight in trainer.model.named_parameters() if weight.requires_grad]
    assert sorted(found) == sorted(trained)
    for name, (rate, decay) in found.items():
        assert rate == (1e-4 if "embed" in name or "lm_head" in name else 1e-3)
        assert decay == (0.0 if "norm" in name else 0.1)


def test_muon_gets_the_matrices_of_the_layers_and_adamw_the_rest(
    tmp_path: Path, recipe: Recipe
) -> None:
    with trainer_of(tmp_path / "run", made(recipe, "muon")) as trainer:
        optimizer = trainer.create_optimizer()
    assert isinstance(optimizer, MuonAndAdamW)
    names = {id(weight): name for name, weight in trainer.model.named_parameters()}
    for group in optimizer.param_groups:
        for weight in group["params"]:
            assert ("momentum" in group) == names[id(weight)].endswith("proj.weight")


def test_a_group_that_is_added_later_is_adamws(tmp_path: Path, recipe: Recipe) -> None:
    """As the value head of PPO is."""
    with trainer_of(tmp_path / "run", made(recipe, "muon")) as trainer:
        optimizer = trainer.create_optimizer()
    head = torch.nn.Parameter(torch.ones(3))
    optimizer.add_param_group({"params": [head], "weight_decay": 0.0, "lr": 0.1})
    head.grad = torch.ones(3)
    optimizer.step()
    torch.testing.assert_close(head.detach(), torch.full((3,), 0.9))


def test_a_rate_for_embeddings_that_are_not_trained_is_refused(
    tmp_path: Path, recipe: Recipe
) -> None:
    with trainer_of(tmp_path / "run", made(recipe, "adamw", "lora")) as trainer:
        trainer.chosen = trainer.chosen.model_copy(update={"embedding_rate": 1e-4})
        with pytest.raises(RunError, match="Neither embeddings"):
            trainer.create_optimizer()


@pytest.mark.slow
def test_noise_changes_the_steps_and_nothing_that_is_measured(
    tmp_path: Path, recipe: Recipe
) -> None:
    plain = go(create(tmp_path / "plain", made(recipe, "adamw")))
    noisy = create(tmp_path / "noisy", made(recipe, "adamw", neftune=5))
    story = go(noisy)
    assert before(story) == before(plain)
    assert losses(story)[0] != losses(plain)[0]
    again = create(tmp_path / "again", made(recipe, "adamw", neftune=5))
    go(again, stop_at(3))
    assert losses(go(again)) == losses(story)
    assert weights(again) == weights(noisy)


@pytest.mark.slow
def test_without_clipping_a_gradient_that_is_no_number_is_still_left_out(
    tmp_path: Path, recipe: Recipe
) -> None:
    with trainer_of(tmp_path / "run", made(recipe, "adamw", clip=0)) as trainer:
        weight = next(w for w in trainer.model.parameters() if w.requires_grad)
        weight.register_hook(lambda gradient: gradient * float("nan"))
        before = weight.detach().clone()
        trainer.args.max_steps = 2  # after three such steps a run waits
        trainer.train()
    assert [left.what for left in trainer.watch.run.history().skipped] == ["gradient"] * 2
    assert torch.equal(weight, before)


@pytest.mark.slow
def test_unclipped_gradients_are_longer_steps(tmp_path: Path, recipe: Recipe) -> None:
    stories = [
        go(create(tmp_path / str(clip), made(recipe, "adafactor", clip=clip))) for clip in (0, 1e-3)
    ]
    norms = [story.steps[0].grad_norm for story in stories]
    assert norms[0] == pytest.approx(norms[1]), "the length is told as it was"
    assert losses(stories[0]) != losses(stories[1])


SHAPES = ("lion", "lion_8bit", "muon", "adamw_8bit")


@pytest.mark.slow
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("adaptation", [Full(), Lora()], ids=lambda chosen: chosen.kind)
def test_the_traced_step_agrees_with_the_bill(kind: Any, adaptation: Adaptation) -> None:
    config = configuration("smollm2-135m")
    setup = Setup(rows=1, length=256, optimizer=kind, checkpointing=True)
    found = trace(config, adaptation, setup)
    bill = estimate(shape_from_config(config), adaptation, setup)
    assert bill.allocated == pytest.approx(found.allocated_bytes, rel=0.02)
    assert "this optimizer" in found.doubt
