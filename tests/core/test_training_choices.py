"""What the recipe says about optimizers, schedules and rates: decided, judged and previewed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import settle
from core.adapt import ADAPTATIONS
from core.choices import Training
from core.draft import Settings
from core.errors import Problem
from core.memory.disk import SPARE
from core.memory.states import count_states
from core.memory.widths import widths
from core.objectives import OBJECTIVES
from core.plan import Facts, make_plan
from core.rates import automatic_rate, usual_range
from core.recipe import Recipe
from core.schedules import decay_steps, rate_at
from core.settle import setup_of
from tests.core.test_plan import CARD, DPO, GB, LAPTOP, MODEL, PAIRS, TOWER, facts, fixed, recipe

FULL = {"kind": "full"}
SETTINGS = Settings(
    device="cpu", bf16=False, learning_rate=1.0, max_length=64, micro_batch=1, accumulation=1,
    checkpointing=False, steps=20, warmup_steps=4,
)  # fmt: skip


def problems(chosen: Recipe, known: Facts) -> tuple[Problem, ...]:
    return make_plan(chosen, known).problems


MISFITS: dict[str, tuple[Recipe, Facts, str, str]] = {
    "paged on a processor": (
        recipe(training__optimizer="paged_adamw_8bit"),
        facts(LAPTOP),
        "training.optimizer",
        "blocker",
    ),
    "paged, and the processor is wanted": (
        recipe(training__optimizer="paged_adamw", training__device="cpu"),
        facts(),
        "training.optimizer",
        "blocker",
    ),
    "Muon for an adapter": (
        recipe(training__optimizer="muon"),
        facts(),
        "training.optimizer",
        "blocker",
    ),
    "Liger's kernels on a processor": (
        recipe(training__kernels="liger"),
        facts(LAPTOP),
        "training.kernels",
        "blocker",
    ),
    "Liger's kernels in a strange family": (
        recipe(training__kernels="liger"),
        facts(model=MODEL.model_copy(update={"architecture": "GraniteMoeForCausalLM"})),
        "training.kernels",
        "blocker",
    ),
    "GaLore for an adapter": (
        recipe(training__optimizer="galore_adamw"),
        facts(),
        "training.optimizer",
        "blocker",
    ),
    "APOLLO for some layers": (
        recipe(adaptation={"kind": "freeze"}, training__optimizer="apollo_mini"),
        facts(),
        "training.optimizer",
        "blocker",
    ),
    "as many directions as there are": (
        recipe(
            adaptation=FULL,
            training__optimizer="galore_adamw",
            training__projection_rank=MODEL.hidden,
        ),
        facts(),
        "training.projection_rank",
        "warning",
    ),
    "directions that nobody chooses": (
        recipe(training__projection_rank=64),
        facts(),
        "training.projection_rank",
        "warning",
    ),
    "directions beside the only one": (
        recipe(adaptation=FULL, training__optimizer="apollo_mini", training__projection_rank=64),
        facts(),
        "training.projection_rank",
        "warning",
    ),
    "LoRA+ without LoRA": (
        recipe(adaptation=FULL, training__lora_plus=16),
        facts(),
        "training.lora_plus",
        "blocker",
    ),
    "embeddings of an adapter": (
        recipe(training__embedding_rate=1e-5),
        facts(),
        "training.embedding_rate",
        "blocker",
    ),
    "noise on pairs": (
        recipe(objective=DPO, training__neftune=5),
        facts(data=PAIRS),
        "training.neftune",
        "blocker",
    ),
    "smoothed labels for pairs": (
        recipe(objective=DPO, training__label_smoothing=0.1),
        facts(data=PAIRS),
        "training.label_smoothing",
        "blocker",
    ),
    "wsd without room": (
        recipe(training__schedule="wsd", training__warmup=0.5, training__decay=0.8),
        facts(),
        "training.decay",
        "blocker",
    ),
    "no warm-up to fall after": (
        recipe(training__schedule="inverse_sqrt", training__warmup=0),
        facts(),
        "training.warmup",
        "warning",
    ),
    "a final rate nobody reads": (
        recipe(training__schedule="linear", training__final_rate=0.1),
        facts(),
        "training.final_rate",
        "warning",
    ),
    "a decay nobody reads": (
        recipe(training__decay=0.1),
        facts(),
        "training.decay",
        "warning",
    ),
    "a beta nobody reads": (
        recipe(training__optimizer="adafactor", training__beta2=0.95),
        facts(),
        "training.beta2",
        "warning",
    ),
    "a rate twice too high": (
        recipe(training__learning_rate=5e-4),
        facts(),
        "training.learning_rate",
        "tip",
    ),
    "a rate for LoRA, and all weights learn": (
        recipe(adaptation=FULL, training__learning_rate=1e-3),
        facts(),
        "training.learning_rate",
        "warning",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_go_together_is_said_and_the_fix_helps(case: str) -> None:
    chosen, known, where, level = MISFITS[case]
    (found,) = [p for p in problems(chosen, known) if p.where == where]
    assert found.level == level
    assert found.fix is not None
    after = problems(fixed(chosen, found), known)
    assert not [p for p in after if p.where == where]


def test_a_missing_package_blocks_its_optimizers(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("core.misfits.training", "core.settle", "core.problems"):
        monkeypatch.setattr(f"{module}.has_bitsandbytes", lambda: False)
    chosen = recipe(training__optimizer="lion_8bit")
    (found,) = make_plan(chosen, facts()).blockers
    assert "bitsandbytes" in found.text
    assert make_plan(fixed(chosen, found), facts()).ready
    assert optimizer(recipe(adaptation=FULL), tight_card())[0] == "adamw"


def kernels(chosen: Recipe, known: Facts) -> tuple[str, str]:
    """What automatic kernels come to, and why."""
    plan = make_plan(chosen, known)
    assert plan.settings is not None
    (why,) = [d.because for d in plan.decisions if d.name == "Kernels"]
    return plan.settings.kernels, why


def test_liger_is_taken_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.speeding.has_liger", lambda: True)
    llama = facts(model=MODEL.model_copy(update={"architecture": "LlamaForCausalLM"}))
    mamba = facts(model=MODEL.model_copy(update={"architecture": "MambaForCausalLM"}))
    for adaptation in ("full", "lora", "qlora"):
        assert kernels(recipe(adaptation={"kind": adaptation}), llama)[0] == "liger"
    assert kernels(recipe(training__kernels="none"), llama) == ("none", "the recipe says so")
    without = {
        "NVIDIA": (recipe(training__device="cpu"), llama),
        "MambaForCausalLM": (recipe(), mamba),
        "IA3": (recipe(adaptation={"kind": "ia3"}), llama),
        "8 bits": (recipe(adaptation={"kind": "qlora", "storage": "int8"}), llama),
    }
    for reason, (chosen, known) in without.items():
        value, why = kernels(chosen, known)
        assert value == "none"
        assert reason in why
    monkeypatch.setattr("core.speeding.has_liger", lambda: False)
    assert "pip install liger-kernel" in kernels(recipe(), llama)[1]
    wanted = recipe(training__kernels="liger")
    (found,) = [p for p in problems(wanted, llama) if p.where == "training.kernels"]
    assert "pip install liger-kernel" in found.text


def optimizer(chosen: Recipe, known: Facts) -> tuple[str, str]:
    """What an automatic optimizer comes to, and why."""
    plan = make_plan(chosen, known)
    assert plan.settings is not None
    (why,) = [d.because for d in plan.decisions if d.name == "Optimizer"]
    return plan.settings.optimizer, why


def tight_card(share: float = 0.75) -> Facts:
    """A card with room for a part of what full fine-tuning with AdamW takes."""
    least = recipe(adaptation=FULL, training__checkpointing="on", training__optimizer="adamw")
    total = round(share * make_plan(least, facts()).needed)
    card = CARD.model_copy(update={"total": total, "free": total})
    return facts(TOWER.model_copy(update={"gpus": (card,)}))


def test_an_automatic_optimizer_is_adamw_unless_only_rounded_states_fit() -> None:
    full = recipe(adaptation=FULL)
    assert optimizer(recipe(), facts())[0] == "adamw"
    assert optimizer(full, facts())[0] == "adamw"
    assert optimizer(full, facts(LAPTOP))[0] == "adamw"
    assert optimizer(full, tight_card(0.1))[0] == "adamw", "nothing fits"
    kind, why = optimizer(full, tight_card())
    assert kind == "paged_adamw_8bit"
    assert "8 bits" in why
    assert make_plan(full, tight_card()).fit != "no"


def test_a_large_card_is_never_rounded_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "SMALL_CARD", GB)
    assert optimizer(recipe(adaptation=FULL), tight_card())[0] == "adamw"


def test_the_bill_knows_every_optimizer() -> None:
    """Bytes per number: AdamW 8, Lion 4, in 8 bits a quarter, and hardly any in sums or pages."""
    full = recipe(adaptation=FULL, training__checkpointing="on")
    kinds = ("adamw", "muon", "lion", "adamw_8bit", "lion_8bit", "adafactor")
    bills = [make_plan(full.edit("training.optimizer", kind), facts()).needed for kind in kinds]
    assert bills == sorted(bills, reverse=True)
    assert len(set(bills)) == len(bills)
    assert bills[0] - bills[2] == pytest.approx(4 * MODEL.parameters, rel=0.01)


def test_states_in_few_directions_are_billed() -> None:
    """Two numbers for each direction of the longer side, GaLore also the directions themselves;
    AdamW's two for what does not lie inside of the layers."""
    full = recipe(adaptation=FULL, training__checkpointing="on", training__projection_rank=64)
    inner = MODEL.layers * sum(a * b for a, b in MODEL.linear.values())
    short, long = (
        MODEL.layers * sum(pick(sides) for sides in MODEL.linear.values()) for pick in (min, max)
    )
    rest = 8 * (MODEL.parameters - inner)
    expected = {
        "galore_adamw": rest + 4 * 64 * (2 * long + short),
        "apollo_adamw": rest + 4 * 64 * 2 * long,
        "apollo_mini": rest + 4 * 2 * long,
    }
    for kind, states in expected.items():
        chosen = full.edit("training.optimizer", kind)
        setup = setup_of(chosen, facts())
        width = widths(chosen.adaptation, setup)
        assert count_states(MODEL, chosen.adaptation, setup, width).optimizer == states
        plan = make_plan(chosen, facts())
        assert plan.bill is not None
        assert "this optimizer" in plan.bill.note
        assert plan.disk is not None
        assert plan.disk.checkpoint - 4 * MODEL.parameters - SPARE == states


def test_smoothed_labels_are_billed_with_all_logits() -> None:
    plain = make_plan(recipe(training__checkpointing="on"), facts())
    smooth = make_plan(recipe(training__checkpointing="on", training__label_smoothing=0.1), facts())
    assert plain.settings is not None
    assert plain.settings == smooth.settings
    logits = plain.settings.micro_batch * plain.settings.max_length * MODEL.vocab
    assert smooth.needed - plain.needed > 8 * logits


def test_what_is_paged_is_asked_of_the_computer() -> None:
    full = recipe(adaptation=FULL, training__checkpointing="on")
    plain = make_plan(full.edit("training.optimizer", "adamw_8bit"), facts()).bill
    paged = make_plan(full.edit("training.optimizer", "paged_adamw_8bit"), facts()).bill
    assert plain is not None
    assert paged is not None
    assert plain.host == 0
    assert paged.host == plain.allocated - paged.allocated > 2 * MODEL.parameters


@pytest.mark.parametrize("adaptation", ADAPTATIONS, ids=lambda kind: kind.title)
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda kind: kind.title)
@pytest.mark.parametrize("parameters", [4e6, 135e6, 8e9])
@pytest.mark.parametrize("changes", [{}, {"optimizer": "lion"}, {"lora_plus": 16}])
def test_the_automatic_rate_is_a_usual_one(
    adaptation: type, objective: type, parameters: float, changes: dict[str, object]
) -> None:
    chosen = recipe(adaptation=adaptation().model_dump(), objective=objective().model_dump())
    for name, value in changes.items():
        chosen = chosen.edit(f"training.{name}", value)
    model = MODEL.model_copy(update={"parameters": int(parameters)})
    rate, because = automatic_rate(chosen, model)
    usual = usual_range(chosen, model)
    assert usual.low <= rate <= usual.high * (1 + 1e-9)
    assert because
    assert usual.source


@pytest.mark.parametrize(("kind", "times"), [("galore_adamw", 10), ("apollo_mini", 5)])
def test_shorter_steps_get_a_higher_rate(kind: str, times: float) -> None:
    plain = recipe(adaptation=FULL)
    chosen = plain.edit("training.optimizer", kind)
    rate, because = automatic_rate(chosen, MODEL)
    assert rate == pytest.approx(times * automatic_rate(plain, MODEL)[0])
    assert "times it" in because
    usual = usual_range(chosen, MODEL)
    assert usual.low <= rate <= usual.high


def test_a_small_model_may_go_higher_and_the_reason_is_said() -> None:
    small = facts(model=MODEL.model_copy(update={"parameters": 4_000_000}))
    brave = recipe(training__learning_rate=3e-3)
    assert not [p for p in problems(brave, small) if p.where == "training.learning_rate"]
    (found,) = [
        p
        for p in problems(recipe(training__learning_rate=9e-3), small)
        if p.where == "training.learning_rate"
    ]
    assert "1e-4 to 0.005" in found.text
    assert "only 4 M parameters" in found.text


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"schedule": "constant"}, {1: 0, 3: 0.5, 5: 1, 20: 1, 99: 1}),
        ({"schedule": "linear"}, {1: 0, 5: 1, 13: 0.5, 20: 1 / 16, 99: 0}),
        ({"schedule": "cosine"}, {1: 0, 5: 1, 13: 0.5, 99: 0}),
        ({"schedule": "cosine", "final_rate": 0.1}, {1: 0, 5: 1, 13: 0.55, 99: 0.1}),
        ({"schedule": "wsd"}, {1: 0, 5: 1, 17: 1, 18: 0.5, 21: 0}),
        ({"schedule": "wsd", "final_rate": 0.2}, {1: 0.2, 5: 1, 18: 0.6, 99: 0.2}),
        ({"schedule": "inverse_sqrt"}, {1: 0, 5: 1, 17: 0.5}),
    ],
)
def test_the_course_of_the_rate(choices: dict[str, object], expected: dict[int, float]) -> None:
    training = Training.model_validate(choices)
    for step, share in expected.items():
        assert rate_at(training, SETTINGS, step) == pytest.approx(share)


@given(
    schedule=st.sampled_from(["cosine", "linear", "constant", "wsd", "inverse_sqrt"]),
    decay=st.floats(0.01, 1),
    low=st.floats(0, 0.9),
    steps=st.integers(1, 50),
    warm=st.floats(0, 1),
)
def test_no_rate_leaves_zero_to_one(
    schedule: str, decay: float, low: float, steps: int, warm: float
) -> None:
    training = Training.model_validate({"schedule": schedule, "decay": decay, "final_rate": low})
    settings = SETTINGS.model_copy(update={"steps": steps, "warmup_steps": int(warm * steps)})
    assert 0 <= decay_steps(training, settings) <= steps
    found = [rate_at(training, settings, step) for step in range(1, steps + 2)]
    assert all(0 <= rate <= 1 for rate in found)
    after = found[settings.warmup_steps :]
    assert after == sorted(after, reverse=True)


def test_the_yaml_of_a_recipe_shows_what_is_new() -> None:
    text = recipe(training__optimizer="lion").to_yaml()
    for line in (
        "optimizer: lion",
        "lora_plus: null",
        "neftune: null",
        "decay: 0.2",
        "beta2: null",
    ):
        assert f"  {line}\n" in text


def test_embeddings_trained_beside_an_adapter_may_have_their_own_rate() -> None:
    beside = {"kind": "lora", "train_whole": ["embed_tokens"]}
    chosen = recipe(adaptation=beside, training__embedding_rate=1e-5)
    assert "training.embedding_rate" not in [each.where for each in problems(chosen, facts())]
