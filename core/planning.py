"""`tunesmith plan`: memory, time and money of a recipe, or of a model and a method alone."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from core import hub, recipe
from core.adapt import ADAPTATIONS
from core.catalog import Gpu, find_gpu, look
from core.commands import gather, load, write_new
from core.describe import problem_lines
from core.errors import CoreError, HubError, ModelError, RecipeError
from core.exact import trace
from core.machine import Machine, read_machine
from core.memory import Setup, estimate
from core.memory.choice import Option
from core.memory.closed import CUDA_CONTEXT
from core.memory.cost import method_of
from core.memory.rules import compared
from core.memory.setup import Attention, Dtype, Engine, Loss, OnObjective, Optimizer, Sharding
from core.models import ModelFacts, is_hub_id
from core.numbers import show_bytes
from core.offers import offer, offers, planned_for, usual_dtype
from core.pace import card_of
from core.plan import Facts, Plan, make_plan
from core.plan_page import page
from core.plan_text import offer_lines, plan_document, plan_lines, price_line
from core.preflight import plan_measured
from core.recipe import Recipe
from core.settle import setup_of, trainable
from core.terminal import Terminal
from core.whatif import Saving, ladder

SWITCH = ("on", "off")
_HELP = "`tunesmith plan --help` shows the options."


def options(parser: ArgumentParser) -> None:
    """What `tunesmith plan` takes."""
    parser.add_argument("recipe", nargs="?")
    parser.add_argument("--fast", action="store_true", help="do not count tokens first")
    parser.add_argument("--gpu", metavar="NAME", help='plan for this card, such as "RTX 4090"')
    parser.add_argument("--html", metavar="FILE", help="also write the plan as a page to share")
    parser.add_argument("--exact", action="store_true", help="trace the step, in seconds")
    parser.add_argument("--measure", action="store_true", help="take trial steps, save nothing")
    group = parser.add_argument_group("without a recipe")
    group.add_argument(
        "--model", metavar="M", help="a folder, a Hub id, a config.json or a well-known name"
    )
    kinds = [kind.model_fields["kind"].default for kind in ADAPTATIONS]
    group.add_argument("--adapt", choices=kinds, default="lora", help="what is trained")
    group.add_argument("--objective", choices=get_args(OnObjective), default="sft")
    group.add_argument("--rank", type=int, metavar="N", help="rank of an adapter")
    group.add_argument("--targets", choices=("all-linear", "attention"), help="layers adapted")
    group.add_argument("--seq-len", type=int, default=1024, metavar="N", help="tokens per row")
    group.add_argument("--micro-batch", type=int, default=1, metavar="N", help="rows at once")
    group.add_argument("--accumulation", type=int, default=1, metavar="N", help="batches per step")
    group.add_argument("--padded", action="store_true", help="rows differ in length")
    group.add_argument("--checkpointing", choices=SWITCH, default="off", help="recompute")
    group.add_argument("--optimizer", choices=get_args(Optimizer), default="adamw")
    group.add_argument("--attention", choices=get_args(Attention), default="sdpa")
    group.add_argument("--loss", choices=get_args(Loss), default="fused", help="output layer")
    group.add_argument("--dtype", choices=get_args(Dtype), help="of frozen weights")
    group.add_argument("--double-quant", choices=SWITCH, default="on", help="of QLoRA")
    group.add_argument("--kbit-prepare", choices=SWITCH, default="off", help="of a plain loop")
    group.add_argument("--num-gpus", type=int, default=1, metavar="N", help="of one kind")
    group.add_argument("--sharding", choices=get_args(Sharding), help="how they share")
    group.add_argument("--offload", choices=SWITCH, default="off", help="states in host memory")
    group.add_argument(
        "--engine", choices=get_args(Engine), default="trl",
        help="ours, or a plain loop of transformers and PEFT, as others measured",
    )  # fmt: skip


class Study(NamedTuple):
    """A plan, the step it is about, and what would make it fit."""

    plan: Plan
    model: ModelFacts
    chosen: Recipe
    setup: Setup
    ways: tuple[Saving, ...] = ()

    @property
    def timed(self) -> bool:
        """Whether the time of a step follows from its tokens: generating answers does not."""
        return self.setup.objective in ("sft", "dpo")


def plan(arguments: Namespace, terminal: Terminal) -> int:
    """Tell the plan of a recipe, or of full batches without any data."""
    if bool(arguments.recipe) == bool(arguments.model):
        raise CoreError("Give a recipe or --model, and only one of them.", hint=_HELP)
    if arguments.measure:
        return _measured(arguments, terminal)
    machine = read_machine()
    if arguments.gpu:
        machine = planned_for(machine, find_gpu(arguments.gpu))
    card = card_of(machine)
    study = (_of_recipe if arguments.recipe else _of_model)(arguments, machine)
    made = _traced(study) if arguments.exact else study.plan
    choice = _offers(study, card)
    for line in _lines(study, made, choice, known=card is not None):
        terminal.say(line)
    if arguments.html:
        write_new(Path(arguments.html), page(study.chosen, made, choice))
        terminal.say(f"Wrote {arguments.html}.")
    terminal.answer(plan_document(made, choice, timed=study.timed))
    return 0


def _measured(arguments: Namespace, terminal: Terminal) -> int:
    """The plan of a recipe with trial steps on its own rows, here and now."""
    for name in ("model", "gpu", "exact", "html"):
        if getattr(arguments, name):
            raise CoreError(
                f"--measure and --{name} do not go together.",
                hint="The rows of a recipe are tried on this computer.",
            )
    chosen = load(Path(arguments.recipe))
    facts = gather(chosen, count=not arguments.fast)
    return plan_measured(chosen, facts, make_plan(chosen, facts), terminal)


def _offers(study: Study, card: Gpu | None) -> list[Option]:
    """Every GPU, the chosen one first."""
    step = study.model, study.chosen.adaptation, study.setup
    others = offers(*step)
    if card is None:
        return list(others)
    return [offer(*step, card), *(other for other in others if other.name != card.name)]


def _lines(study: Study, made: Plan, choice: Sequence[Option], *, known: bool) -> Iterator[str]:
    yield from plan_lines(made)
    if made.fit == "no":
        yield from _ways(study.ways)
    yield from problem_lines(made.problems)
    if not study.timed:
        yield "Time and money are known for SFT and DPO only: others also generate answers."
    elif known:
        yield price_line(choice[0], made.tokens)
    yield from offer_lines(choice[known:], made.tokens, timed=study.timed)
    if made.bill and (
        rule := compared(method_of(study.chosen.adaptation), made.parameters, made.needed)
    ):
        yield rule


def _ways(ways: Sequence[Saving]) -> Iterator[str]:
    if not ways:
        yield "No choice of batch, length or method makes it fit there."
        return
    yield "What makes it fit, one after the other:"
    for way in ways:
        yield f"  {way.edit.label}: {show_bytes(way.bytes)} less, {way.price}"


def _of_recipe(arguments: Namespace, machine: Machine) -> Study:
    chosen = load(Path(arguments.recipe))
    facts = gather(chosen, count=not arguments.fast).model_copy(update={"machine": machine})
    if facts.model is None:
        raise RecipeError(make_plan(chosen, facts).blockers)
    setup = setup_of(chosen, facts)
    ways = ladder(chosen, facts)
    return Study(make_plan(chosen, facts), facts.model, chosen, setup, ways)


def _of_model(arguments: Namespace, machine: Machine) -> Study:
    chosen = _recipe_of(arguments)
    model, card = _look(chosen.model), card_of(machine)
    facts = Facts(machine=machine, model=model)
    bare = make_plan(chosen, facts)
    usual = usual_dtype(card) if card else "bf16" if machine.bf16 else "fp32"
    setup = _setup_of(arguments, cuda=bool(machine.gpus), usual=usual)
    context = card.context_bytes if card else CUDA_CONTEXT
    several = f"{setup.gpus} x {bare.device}, each" if setup.gpus > 1 else bare.device
    made = Plan(
        bill=estimate(model, chosen.adaptation, setup, context),
        limit=bare.limit,
        device=several,
        parameters=model.parameters,
        trainable=trainable(chosen, model),
    )
    ways = ladder(chosen, facts) if made.fit == "no" else ()
    return Study(made, model, chosen, setup, ways)


def _look(name: str) -> ModelFacts:
    """A model that is known already, else its shape from the Hub."""
    try:
        return look(name)
    except ModelError:
        if not is_hub_id(name) or Path(name).expanduser().exists():
            raise
    try:
        hub.shape(name)
    except HubError as error:
        raise HubError(
            f"{name} is not on this computer, and its shape could not be read: {error}",
            hint=error.hint,
        ) from error
    return look(name)


def _traced(study: Study) -> Plan:
    """The plan with the bill of the traced step; what lies outside of tensors is taken over."""
    quick, setup = study.plan.bill, study.setup
    assert quick is not None
    found = trace(study.model, study.chosen.adaptation, setup)
    return study.plan.model_copy(update={"bill": found.bill(quick, setup)})


def _setup_of(arguments: Namespace, *, cuda: bool, usual: Dtype) -> Setup:
    same = ("objective", "accumulation", "padded", "optimizer", "attention", "loss", "engine")
    switched = ("checkpointing", "double_quant", "kbit_prepare", "offload")
    try:
        return Setup(
            cuda=cuda,
            rows=arguments.micro_batch,
            length=arguments.seq_len,
            dtype=arguments.dtype or usual,
            gpus=arguments.num_gpus,
            sharding=_sharding(arguments),
            **{name: getattr(arguments, name) for name in same},
            **{name: getattr(arguments, name) == "on" for name in switched},
        )
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0]).replace("_", "-")
        raise CoreError(f"--{name}: {fault['msg']}.", hint=_HELP) from error


def _sharding(arguments: Namespace) -> Sharding:
    """How several GPUs share; one GPU has nobody to share with."""
    wanted: Sharding | None = arguments.sharding
    if wanted is None:
        return "fsdp" if arguments.num_gpus > 1 else "none"
    if (wanted == "none") != (arguments.num_gpus == 1) and not arguments.offload == "on":
        raise CoreError(
            f"--sharding {wanted} and --num-gpus {arguments.num_gpus} contradict each other.",
            hint="Several GPUs share by ddp, fsdp or a stage of ZeRO; one GPU does not share.",
        )
    return wanted


def _recipe_of(arguments: Namespace) -> Recipe:
    adaptation: dict[str, Any] = {"kind": arguments.adapt}
    for name in ("rank", "targets"):
        if getattr(arguments, name) is not None:
            adaptation[name] = getattr(arguments, name)
    raw = {
        "model": arguments.model,
        "adaptation": adaptation,
        "training": {
            "max_length": arguments.seq_len,
            "micro_batch": arguments.micro_batch,
            "accumulation": arguments.accumulation,
            "checkpointing": arguments.checkpointing,
        },
    }
    try:
        return recipe.parse(raw)
    except RecipeError as error:
        raise RecipeError(error.problems, hint=_HELP) from error
