"""Plans: pure, quick, and every fix does away with its problem."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.dataset import DataFacts
from core.errors import Problem
from core.findings import DataFinding
from core.machine import Gpu, Machine
from core.models import ModelFacts
from core.plan import Facts, Plan, make_plan
from core.recipe import Recipe, parse
from core.settle import make_setup
from core.tokens import TokenFacts

GB = 10**9
CARD = Gpu(name="RTX 4090", total=24 * GB, free=23 * GB, capability=(8, 9))
LAPTOP = Machine(
    system="Linux", cores=4, memory=16 * GB, memory_free=8 * GB, disk_free=100 * GB
)  # fmt: skip
TOWER = LAPTOP.model_copy(update={"gpus": (CARD,)})
MODEL = ModelFacts(
    path=Path("model"), name="Test 1B", architecture="LlamaForCausalLM", parameters=10**9,
    hidden=2048, layers=16, heads=32, kv_heads=8, head_dim=64, intermediate=8192, vocab=128_000,
    tied=True, context=4096, stored="bf16", bytes=2 * GB, template="{{ messages }}",
    linear={"q_proj": (2048, 2048), "up_proj": (8192, 2048)},
)  # fmt: skip
DATA = DataFacts(
    path=Path("data.jsonl"), rows=1000, format="chat", confidence=1, reason="messages",
    mean_chars=400, max_chars=4000,
)  # fmt: skip
COUNTED = TokenFacts(
    max_length=1024, rows=900, heldout=100, tokens=90_000, median=90, p99=900, longest=1000
)
CHOSEN = parse(
    {
        "model": "model",
        "data": {"path": "data.jsonl", "heldout_share": 0.1},
        "training": {"epochs": 3, "accumulation": 1, "max_length": 1024},
    }
)


def facts(machine: Machine = TOWER, **changes: object) -> Facts:
    return Facts(machine=machine, model=MODEL, data=DATA, tokens=COUNTED).model_copy(update=changes)


def recipe(**changes: object) -> Recipe:
    chosen = CHOSEN
    for path, value in changes.items():
        chosen = chosen.edit(path.replace("__", "."), value)
    return chosen


DPO = {"kind": "dpo"}
PAIRS = DATA.model_copy(update={"format": "preference"})

PROBLEMATIC = {
    "pairs, and examples are wanted": (recipe(), facts(data=PAIRS)),
    "examples, and pairs are wanted": (recipe(objective=DPO), facts()),
    "pairs are seen often": (recipe(objective=DPO), facts(data=PAIRS)),
    "no model": (recipe(model=""), facts(model=None)),
    "no card": (recipe(training__device="cuda"), facts(LAPTOP)),
    "no held-out rows": (recipe(data__heldout_share=0), facts(tokens=None)),
    "longer than the context": (recipe(training__max_length=100_000), facts()),
    "rows are cut": (
        recipe(),
        facts(tokens=COUNTED.model_copy(update={"cut": 400, "p99": 2000, "longest": 3000})),
    ),
    "rate too high": (recipe(training__learning_rate=0.5), facts()),
    "rate too low": (recipe(training__learning_rate=1e-9), facts()),
    "too few steps": (recipe(training__max_steps=3), facts()),
    "memory: batch": (recipe(training__micro_batch=1024, training__checkpointing="off"), facts()),
    "memory: one long row": (
        recipe(training__micro_batch=1, training__max_length=4096, training__checkpointing="off"),
        facts(
            TOWER.model_copy(update={"gpus": (CARD.model_copy(update={"total": 5 * GB}),)}),
            tokens=COUNTED.model_copy(update={"longest": 4096}),
        ),
    ),
    "memory: large model": (
        recipe(training__micro_batch=1, training__checkpointing="on"),
        facts(
            model=MODEL.model_copy(
                update={"parameters": 14 * 10**9, "linear": {"up_proj": (81920, 10480)}}
            )
        ),
    ),
    "full disk": (recipe(checks__keep=50), facts(TOWER.model_copy(update={"disk_free": GB}))),
}


def fixed(chosen: Recipe, problem: Problem) -> Recipe:
    assert problem.fix is not None
    return chosen.edit(problem.fix.path, problem.fix.value)


def same_problem(problem: Problem, plan: Plan) -> bool:
    """Whether a plan still complains at the same place with the same first words."""
    return any(p.where == problem.where and p.text == problem.text for p in plan.problems)


def test_a_plain_recipe_is_ready() -> None:
    plan = make_plan(recipe(), facts())
    assert plan.problems == ()
    assert plan.ready
    assert plan.items
    assert plan.needed == sum(item.bytes for item in plan.items)


def test_planning_is_pure() -> None:
    chosen, known = recipe(), facts()
    assert make_plan(chosen, known) == make_plan(chosen, known)
    assert (chosen, known) == (recipe(), facts())


def test_a_plan_survives_its_file() -> None:
    plan = make_plan(*PROBLEMATIC["rate too high"])
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("case", PROBLEMATIC)
def test_every_fix_does_away_with_its_problem(case: str) -> None:
    chosen, known = PROBLEMATIC[case]
    found = [p for p in make_plan(chosen, known).problems if p.fix]
    assert found
    for problem in found:
        assert not same_problem(problem, make_plan(fixed(chosen, problem), known))
        assert problem.fix is not None
        assert problem.fix.label


@pytest.mark.parametrize("case", PROBLEMATIC)
def test_pressing_every_fix_comes_to_an_end(case: str) -> None:
    chosen, known = PROBLEMATIC[case]
    for _ in range(20):
        fixable = [p for p in make_plan(chosen, known).problems if p.fix]
        if not fixable:
            return
        chosen = fixed(chosen, fixable[0])
    pytest.fail(f"fixes go round in circles: {fixable}")


def test_a_halved_batch_learns_the_same() -> None:
    chosen, known = PROBLEMATIC["memory: batch"]
    problem = next(p for p in make_plan(chosen, known).problems if "needed" in p.text)
    after = fixed(chosen, problem).training
    assert after.accumulation is not None
    assert after.micro_batch * after.accumulation == 1024


@pytest.mark.parametrize(
    ("chosen", "known", "where"),
    [
        (recipe(data__path=""), facts(data=None), "data.path"),
        (recipe(), facts(data=None), "data.path"),
        (recipe(), facts(model=MODEL.model_copy(update={"template": None})), "data.template"),
        (recipe(), facts(data=PAIRS), "data.format"),
        (recipe(objective=DPO), facts(), "data.format"),
        (recipe(), facts(data=DATA.model_copy(update={"format": "text"})), "data.format"),
        (
            recipe(objective=DPO, data__heldout="chat.jsonl"),
            facts(data=PAIRS, heldout=DATA),
            "data.heldout",
        ),
        (
            recipe(),
            facts(tokens=COUNTED.model_copy(update={"untrained": 900, "untrained_lines": (1, 2)})),
            "training.max_length",
        ),
    ],
)
def test_what_cannot_run_blocks_the_start(chosen: Recipe, known: Facts, where: str) -> None:
    plan = make_plan(chosen, known)
    assert where in [problem.where for problem in plan.blockers]
    assert not plan.ready


def test_pairs_want_a_quarter_of_the_rate() -> None:
    plans = [
        make_plan(recipe(), facts()),
        make_plan(recipe(objective=DPO), facts(data=PAIRS)),
        make_plan(recipe(objective=DPO, adaptation={"kind": "full"}), facts(data=PAIRS)),
    ]
    assert plans[1].ready
    rates = [plan.settings.learning_rate for plan in plans if plan.settings]
    assert rates == [2e-4, 5e-5, 5e-6]
    (why,) = [d.because for d in plans[1].decisions if d.name == "Learning rate"]
    assert "a quarter of it for pairs" in why


def test_findings_in_the_data_are_shown() -> None:
    finding = DataFinding(
        code="duplicate", severity="warning", count=2, rows=(3, 9), text="2 rows twice", fix="x"
    )
    plan = make_plan(recipe(), facts(data=DATA.model_copy(update={"problems": (finding,)})))
    assert [(p.level, p.where, p.text) for p in plan.problems] == [
        ("warning", "data.path", "2 rows twice")
    ]


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, 339),  # 900 rows / 8 = 112.5, rounded up, three times
        ({"training__accumulation": 4}, 87),
        ({"training__epochs": 0.5}, 57),
        ({"training__max_steps": 7}, 7),
        ({"data__heldout_share": 0}, 375),
    ],
)
def test_steps_are_counted(changes: dict[str, object], steps: int) -> None:
    settings = make_plan(recipe(**changes), facts(tokens=None)).settings
    assert settings is not None
    assert settings.steps == steps


def test_automatic_values_carry_their_reasons() -> None:
    plan = make_plan(recipe(), facts())
    assert {d.name for d in plan.decisions} >= {"Device", "Precision", "Learning rate"}
    assert all(d.because for d in plan.decisions)


def test_what_the_recipe_says_is_taken() -> None:
    chosen = recipe(training__learning_rate=1e-3, training__device="cpu", checks__every=5)
    settings = make_plan(chosen, facts()).settings
    assert settings is not None
    assert (settings.learning_rate, settings.device, settings.every) == (1e-3, "cpu", 5)


@pytest.mark.parametrize("kind", ["lora", "qlora", "full"])
def test_the_bill_grows_with_the_batch_and_falls_with_checkpointing(kind: str) -> None:
    chosen = recipe(adaptation={"kind": kind}, training__checkpointing="off")
    one = make_plan(chosen.edit("training.micro_batch", 1), facts()).needed
    eight = make_plan(chosen.edit("training.micro_batch", 8), facts()).needed
    saved = make_plan(
        chosen.edit("training.micro_batch", 8).edit("training.checkpointing", "on"), facts()
    ).needed
    assert one < eight
    assert saved < eight


def test_nothing_known_is_no_error() -> None:
    plan = make_plan(Recipe(), Facts(machine=LAPTOP))
    assert not plan.ready
    assert plan.settings is None


def test_a_packed_batch_is_one_long_row() -> None:
    packed = recipe(objective={"kind": "sft", "packing": True}, training__micro_batch=4)
    mixing = MODEL.model_copy(update={"attends": False})
    for model, masked in ((MODEL, False), (mixing, True)):
        known = facts(model=model)
        settings = make_plan(packed, known).settings
        assert settings is not None
        found = make_setup(packed, known, settings)
        assert (found.rows, found.length, found.padded) == (1, 4 * settings.max_length, masked)


def test_rows_are_cut_at_the_longest_and_padded_when_several() -> None:
    chosen = recipe(training__micro_batch=2)
    settings = make_plan(chosen, facts()).settings
    assert settings is not None
    assert settings.padding_free
    found = make_setup(chosen, facts(), settings)
    assert (found.rows, found.length, found.padded) == (1, 2 * 1000, False)
    padded = settings.model_copy(update={"padding_free": False})
    found = make_setup(chosen, facts(), padded)
    assert (found.rows, found.length, found.padded) == (2, 1000, True)
