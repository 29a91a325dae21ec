"""`tunesmith plan`: memory, steps and reasons of a recipe, or the memory bill of a model alone."""

from __future__ import annotations

import contextlib
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from core import launch, models, recipe
from core.adapt import ADAPTATIONS
from core.catalog import find_gpu, find_model
from core.commands import gather, load
from core.describe import memory_lines, plan_document, plan_lines, problem_lines
from core.errors import CoreError, ModelError, RecipeError
from core.machine import read_machine
from core.memory import Bill, Item, Setup, estimate
from core.memory.closed import CUDA_CONTEXT
from core.memory.setup import Attention, Dtype, Engine, Loss, Optimizer
from core.models import ModelFacts
from core.plan import Facts, Plan, make_plan
from core.preflight import plan_measured
from core.recipe import Recipe
from core.terminal import Terminal

SWITCH = ("on", "off")


def options(parser: ArgumentParser) -> None:
    """What `tunesmith plan` takes."""
    parser.add_argument("recipe", nargs="?")
    parser.add_argument("--fast", action="store_true", help="do not count tokens first")
    parser.add_argument("--measure", action="store_true", help="take trial steps, save nothing")
    group = parser.add_argument_group("without a recipe")
    group.add_argument(
        "--model", metavar="M", help="a folder, a Hub id, a config.json or a well-known name"
    )
    kinds = [kind.model_fields["kind"].default for kind in ADAPTATIONS]
    group.add_argument("--gpu", metavar="NAME", help='a card of the catalogue, such as "RTX 4090"')
    group.add_argument("--exact", action="store_true", help="trace the step, in seconds")
    group.add_argument("--adapt", choices=kinds, default="lora", help="what is trained")
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
    group.add_argument(
        "--engine", choices=get_args(Engine), default="trl",
        help="ours, or a plain loop of transformers and PEFT, as others measured",
    )  # fmt: skip


def plan(arguments: Namespace, terminal: Terminal) -> int:
    """Tell the plan of a recipe, or the memory bill of full batches without any data."""
    if arguments.recipe and arguments.model:
        raise CoreError("Give a recipe or --model, not both.", hint="See `tunesmith plan --help`.")
    if arguments.recipe:
        chosen = load(Path(arguments.recipe))
        facts = gather(chosen, count=not arguments.fast)
        made = make_plan(chosen, facts)
        if arguments.measure:
            return plan_measured(chosen, facts, made, terminal)
        lines = [*plan_lines(made), *problem_lines(made.problems)]
    elif arguments.measure:
        raise CoreError("Only a recipe can be measured.", hint="Its own rows are tried.")
    elif arguments.model:
        made = _plan_model(arguments)
        lines = list(memory_lines(made))
    else:
        raise CoreError("Nothing to plan.", hint="Give a recipe file, or --model.")
    for line in lines:
        terminal.say(line)
    terminal.answer(plan_document(made))
    return 0


def _plan_model(arguments: Namespace) -> Plan:
    chosen = _recipe_of(arguments)
    model = _look(chosen.model)
    card = find_gpu(arguments.gpu) if arguments.gpu else None
    machine = read_machine()
    bare = make_plan(chosen, Facts(machine=machine))
    known = float(card.capability) >= 8 if card else machine.bf16
    setup = _setup_of(arguments, cuda=bool(card or machine.gpus), usual="bf16" if known else "fp32")
    context = card.context_bytes if card else CUDA_CONTEXT
    bill = estimate(model, chosen.adaptation, setup, context)
    return Plan(
        bill=_traced(bill, model.path, chosen, setup) if arguments.exact else bill,
        limit=card.vram_bytes if card else bare.limit,
        device=card.name if card else bare.device,
        parameters=model.parameters,
        trainable=chosen.adaptation.trainable(model),
    )


def _look(name: str) -> ModelFacts:
    """A model on this computer, or one whose shape the catalogue knows."""
    try:
        return models.look(models.resolve(name))
    except ModelError:
        with contextlib.suppress(CoreError):
            return find_model(name).facts()
        raise


def _traced(quick: Bill, path: Path, chosen: Recipe, setup: Setup) -> Bill:
    """The bill of the traced step; what lies outside of tensors is taken from the quick one."""
    found = launch.trace(path, chosen.adaptation, setup)
    reserved = max(found.allocated_bytes, found.expandable_bytes if setup.engine == "trl" else 0)
    if setup.engine == "plain":
        reserved = found.reserved_bytes
    items = [Item(name=item.kind.capitalize(), bytes=item.bytes) for item in found.items]
    outside = [
        Item(name="Allocator", bytes=reserved - found.allocated_bytes, note="reserved, not in use"),
        Item(name="Driver and libraries", bytes=quick.context),
    ]
    return quick.model_copy(
        update={
            "items": (*items, *outside),
            "allocated": found.allocated_bytes,
            "reserved": reserved,
            "total": reserved + quick.context,
            "phase": found.phase,
            "method": "traced",
        }
    )


def _setup_of(arguments: Namespace, *, cuda: bool, usual: Dtype) -> Setup:
    same = ("accumulation", "padded", "optimizer", "attention", "loss", "engine")
    switched = ("checkpointing", "double_quant", "kbit_prepare")
    try:
        return Setup(
            cuda=cuda,
            rows=arguments.micro_batch,
            length=arguments.seq_len,
            dtype=arguments.dtype or usual,
            **{name: getattr(arguments, name) for name in same},
            **{name: getattr(arguments, name) == "on" for name in switched},
        )
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0]).replace("_", "-")
        raise CoreError(f"--{name}: {fault['msg']}.", hint=_HELP) from error


_HELP = "`tunesmith plan --help` shows the options."


def _recipe_of(arguments: Namespace) -> Recipe:
    adaptation: dict[str, Any] = {"kind": arguments.adapt}
    for name in ("rank", "targets"):
        if getattr(arguments, name) is not None:
            adaptation[name] = getattr(arguments, name)
    raw = {
        "model": arguments.model,
        "adaptation": adaptation,
        "training": {"max_length": arguments.seq_len, "micro_batch": arguments.micro_batch},
    }
    try:
        return recipe.parse(raw)
    except RecipeError as error:
        raise RecipeError(error.problems, hint=_HELP) from error
