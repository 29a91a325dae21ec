"""One training run from its folder to its artefact."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, TrainerCallback, set_seed
from transformers.utils import logging as library_log

from core import durable, models, resuming, templates
from core.dataset import Example
from core.draft import Settings
from core.engine import origin, score
from core.engine.arguments import arguments
from core.engine.beginnings import begin
from core.engine.chosen_template import stop_at
from core.engine.emit import Voice
from core.engine.encode import Progress, prepare_template
from core.engine.guard import Guard
from core.engine.lesson import Lesson
from core.engine.lessons import lesson_for
from core.engine.load import STORED, load_tokenizer
from core.engine.patience import Unsaved, artefact_bytes, patiently
from core.engine.preflight import way_out
from core.engine.rows import tell_changes
from core.engine.signs import obey
from core.engine.sparing import NoRoom, least, with_less
from core.engine.trainer import Adapting, Best, Measure, Watch, Watched, pick_best, remembered
from core.engine.watch import Reporter
from core.engine.wishes import Wishes
from core.errors import ModelError, RunError
from core.events import Answer, Finished, PhaseName, Sampled, Scored
from core.history import History
from core.mixing import Drawn
from core.plan import Plan
from core.portions import steps_for, with_steps
from core.recipe import Recipe
from core.rundir import RunDir
from core.screening.pickles import refuse_harmful_state
from core.settle import recovers, trainable

PROBES = 2
Moment = Literal["before", "after"]
AnyTrainer = TypeVar("AnyTrainer", bound=Watched)
Found = TypeVar("Found")


@dataclass
class Job:
    """What every stage of a run needs."""

    run: RunDir
    recipe: Recipe
    settings: Settings
    voice: Voice
    wishes: Wishes
    resumed: int | None
    story: History
    sources: tuple[Drawn, ...] = ()
    origin: dict[str, Any] = field(default_factory=dict)
    """What the run is made of."""
    doubt: str = ""
    """As in `core.events.Saved`."""

    def progress(self, phase: PhaseName, done: int, total: int) -> None:
        """Tell how far a slow phase is, and look whether the user wants to stop."""
        self.voice.phase(phase, done, total)
        if not self.wishes.training:
            self.wishes.look()


def train(run: RunDir, voice: Voice, wishes: Wishes, resumed: int | None) -> Finished:
    """Do the whole job; returns the closing event. Raises CoreError, Stopped, library errors."""
    library_log.disable_progress_bar()
    job = open_job(run, voice, wishes, resumed)
    if doubt := durable.try_out(run.root):
        voice.warn("no-sync", doubt, "Keep the run on a disk of this computer if you can.")
    folder = models.resolve(job.recipe.model)
    _remember_origin(job, folder)
    tokenizer, lesson = read_rows(job, folder)
    job.origin["template"] = origin.text_sum(str(tokenizer.chat_template))
    voice.phase("loading")
    set_seed(job.recipe.training.seed)
    model = lesson.load(folder, job.settings)
    if job.recipe.data.template:
        stop_at(model, tokenizer)
    job.recipe.adaptation.prepare(model)
    wishes.look()
    measured = bool(lesson.corpus.heldout)
    with _precision(job.settings):
        lesson.prepare(model, functools.partial(job.progress, "reference"))
    if measured and job.story.before is None:
        voice.say(_score(job, model, tokenizer, lesson, "before"))
    set_seed(job.recipe.training.seed)
    trainer = _make_trainer(job, model, tokenizer, lesson)
    _compare_sizes(job, trainer, folder)
    if resumed is None:
        with _precision(job.settings):
            begin(trainer.model, lesson, folder, functools.partial(job.progress, "beginning"))
    _run_steps(job, trainer)
    watch = trainer.watch
    if watch.stopped:
        system = job.wishes.told_to_end
        return Finished(step=trainer.state.global_step, stopped=True, interrupted=system)
    last = _take_best(job, trainer)
    try:
        artefact = _save(job, trainer, tokenizer)
    except Unsaved:
        return Finished(step=last, stopped=True)
    if measured:
        voice.say(_score(job, trainer.model, tokenizer, lesson, "after"))
    return Finished(step=last, early=watch.early, artefact=artefact)


def open_job(run: RunDir, voice: Voice, wishes: Wishes, resumed: int | None = None) -> Job:
    """Everything that is known before anything is loaded. Raises RunError, ModelError."""
    if resumed is not None:
        refuse_harmful_state(run.checkpoint(resumed))
    durable.sweep(run.root)
    durable.sweep(run.checkpoints)
    plan = Plan.model_validate_json(run.plan_file.read_bytes())
    if plan.settings is None:
        raise RunError("The plan of this run has no settings.", hint="Start a new run.")
    recipe, story, settings = run.load_recipe(), run.history(), plan.settings
    if "packing" not in settings.model_fields_set:  # planned before plans decided it
        packing = recipe.objective.joining == "on"
        settings = settings.model_copy(update={"packing": packing})
    return Job(run, recipe, settings, voice, wishes, resumed, story, plan.sources)


def read_rows(job: Job, folder: Path) -> tuple[PreTrainedTokenizerBase, Lesson[Any]]:
    """The model's tokenizer and all rows, encoded. Raises DataError, ModelError, Stopped."""
    job.voice.phase("tokenising")
    tokenizer = load_tokenizer(folder)
    if job.recipe.data.control_tokens == "tokens":
        obey(tokenizer)
    if job.recipe.objective.chats:
        prepare_template(tokenizer, job.recipe.data.template, job.run.template)
    progress = functools.partial(job.progress, "tokenising")
    lesson = lesson_for(job.recipe.objective)(
        job.recipe, job.settings, tokenizer, job.voice.warn, progress
    )
    _take_length(job, lesson.corpus.length)
    return tokenizer, lesson


def _remember_origin(job: Job, folder: Path) -> None:
    """What this run is made of. Raises RunError when it goes on and would be another training."""
    found = tell_changes(job.sources, job.voice.warn)
    job.origin = origin.look(job.recipe, job.settings, found, folder)
    if job.run.template.is_file():
        job.origin["template"] = origin.text_sum(templates.read(str(job.run.template)))
    job.doubt = resuming.doubt(job.recipe, job.settings)
    if job.resumed is None:
        return
    then = durable.read_manifest(job.run.checkpoint(job.resumed))
    others = origin.compare(then.get("origin", {}), job.origin, job.resumed)
    if others:
        job.doubt = f"it went on with other libraries ({', '.join(others)})"
        text = f"Since step {job.resumed:,} was saved, {', '.join(others)}."
        job.voice.warn("libraries-changed", text, "Training goes on, but not to the same bits.")
    job.doubt = job.doubt or then.get("doubt", "")


def _take_length(job: Job, length: int) -> None:
    """An automatic length was a guess if the plan was made before tokens were counted."""
    planned = job.settings.max_length
    if length != planned:
        text = f"Rows are cut at {length:,} tokens; {planned:,} were guessed before counting."
        job.voice.warn("length", text)
        job.settings = job.settings.model_copy(update={"max_length": length})


def _score(
    job: Job, model: Any, tokenizer: PreTrainedTokenizerBase, lesson: Lesson[Any], when: Moment
) -> Scored:
    """The held-out rows measured, and their questions answered."""
    tell = functools.partial(job.progress, "scoring")
    asked = job.recipe.checks.score_rows if job.recipe.objective.speaks else 0
    chosen = lesson.corpus.examples[:asked]
    rows = sum(len(row.sides) for row in lesson.corpus.heldout)
    whole = rows + len(chosen)
    found = _measure(job, lesson, model, lambda done, _: tell(done, whole))
    if not math.isfinite(found.cost):
        raise ModelError(
            f"The model's loss on the held-out rows is not finite ({when} training).",
            hint="Its weights hold broken numbers; download it again or choose another model.",
        )
    with _speech(job):
        replies = _spared(
            job,
            lambda: lesson.answers(
                model, tokenizer, chosen, lambda done, _: tell(rows + done, whole)
            ),
        )
    return Scored(
        when=when,
        exact_match=score.exact_match(replies) if lesson.judged else None,
        **vars(found),
        rows=len(replies),
        answers=tuple(reply if lesson.judged else _unjudged(reply) for reply in replies),
    )


def _unjudged(answer: Answer) -> Answer:
    return replace(answer, correct=None)


def _measure(
    job: Job, lesson: Lesson[Any], model: Any, progress: Progress | None = None
) -> Measure:
    with _precision(job.settings):
        return _spared(job, lambda: lesson.measure(model, progress))


def _spared(job: Job, ask: Callable[[], Found]) -> Found:
    """Ask, with smaller portions if memory runs out."""

    def tell(share: float) -> None:
        text = (
            f"Memory ran out while measuring; {share:.0%} of the usual rows are held at once now."
        )
        job.voice.warn("measured-in-parts", text, "Training is not touched by this.")

    return with_less(ask, tell)


def _precision(settings: Settings) -> Any:
    """Measure in the arithmetic that training uses."""
    return torch.autocast(settings.device, torch.bfloat16, enabled=settings.bf16)


def _speech(job: Job) -> Any:
    """Answers are generated as in use, unless 32-bit weights meet layers kept in 16 bits."""
    mixed = job.settings.bf16 and job.recipe.adaptation.mixes
    return torch.autocast(job.settings.device, torch.bfloat16, enabled=mixed)


def _make_trainer(
    job: Job, model: Any, tokenizer: PreTrainedTokenizerBase, lesson: Lesson[Any]
) -> Watched:
    data = lesson.dataset()
    steps = steps_for(job.recipe, job.settings, len(data))
    job.settings = with_steps(job.recipe, job.settings, steps)
    checks = job.recipe.checks
    watch = Watch(
        job.run, job.voice, job.wishes, job.settings,
        measure=functools.partial(_measure, job, lesson) if lesson.corpus.heldout else None,
        probe=_prober(job, tokenizer, lesson),
        guard=Guard(_losses(job.story)), places=lesson.places(),
        keep=checks.keep, patience=checks.patience,
        origin=job.origin, doubt=job.doubt, saved=job.resumed,
        best=remembered(job.run, job.resumed) if job.resumed else Best(),
    )  # fmt: skip
    earlier = job.story.steps[-1] if job.story.steps else None
    callbacks = [Reporter(job.voice, earlier)]
    trainer = build_trainer(lesson.trainer, job, watch, model, tokenizer, lesson, data, callbacks)
    trainer.spares = recovers(job.recipe)
    if job.story.reduced and trainer.spares:
        trainer.begin_reduced(job.story.reduced)
    return trainer


def _losses(story: History) -> list[float]:
    """What the loss was so far; before the first step, that of the held-out rows."""
    first = story.before.loss if story.before else None
    taken = [step.loss for step in story.steps]
    return taken or ([] if first is None else [first])


def build_trainer(
    kind: type[AnyTrainer],
    job: Job,
    watch: Watch,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    lesson: Lesson[Any],
    data: Dataset,
    callbacks: Sequence[TrainerCallback] = (),
) -> AnyTrainer:
    """A trainer of this kind, adapted and set as the recipe says."""
    watch.adaptation = job.recipe.adaptation
    trainer = kind(
        watch,
        model=model,
        args=lesson.arguments(arguments(job.recipe, job.settings, job.run.checkpoints)),
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=lesson.peft_config(),
        callbacks=[*callbacks, Adapting(watch.adaptation)],
        **lesson.extras(),
    )
    trainer.chosen = job.recipe.training
    return trainer


def _compare_sizes(job: Job, trainer: Watched, folder: Path) -> None:
    """The plan's figure is a formula's; a library that does otherwise must not go unnoticed."""
    planned = trainable(job.recipe, models.look(folder))
    real = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
    if real != planned:
        job.voice.warn("trainable", f"{real:,} numbers are trained; the plan said {planned:,}.")


def _prober(job: Job, tokenizer: PreTrainedTokenizerBase, lesson: Lesson[Any]) -> Any:
    asked: Sequence[Example] = [
        Example(line=0, messages=[{"role": "user", "content": text}, {"role": "assistant",
                "content": ""}])
        for text in job.recipe.checks.probes
    ] or lesson.corpus.examples[:PROBES]  # fmt: skip
    if not job.recipe.objective.speaks:
        asked = ()

    def probe(model: Any, step: int) -> None:
        with _speech(job):
            replies = _spared(job, lambda: lesson.answers(model, tokenizer, asked))
        for reply in replies:
            known = lesson.judged and reply.expected
            job.voice.say(Sampled(step=step, answer=reply if known else _unjudged(reply)))

    return probe


def _run_steps(job: Job, trainer: Watched) -> None:
    """Train what is left. A run whose last step is saved must not take one more."""
    resumed, watch = job.resumed, trainer.watch
    patience = watch.patience
    watch.early = bool(resumed and patience and watch.best.waited >= patience)
    if resumed and (resumed >= job.settings.steps or watch.early):
        trainer._load_from_checkpoint(str(job.run.checkpoint(resumed)))
        trainer.state.global_step = resumed
        return
    job.voice.phase("training")
    job.wishes.training = True
    saved = str(job.run.checkpoint(resumed)) if resumed else None
    try:
        trainer.train(resume_from_checkpoint=saved)
    except NoRoom as error:
        raise RunError(
            f"Memory ran out at step {trainer.state.global_step + 1:,}, with one row at a time.",
            hint=way_out(least(job.recipe)) or "Choose shorter rows or a smaller model.",
        ) from error
    job.wishes.training = False


def _take_best(job: Job, trainer: Watched) -> int:
    """Put the best weights into the model; returns the last step taken."""
    last = int(trainer.state.global_step)
    step, fault = pick_best(job.run, trainer.watch.best, last)
    if fault:
        job.voice.warn("best-lost", f"The best checkpoint is damaged ({fault}); the last is used.")
    if step != last:
        trainer._load_from_checkpoint(str(job.run.checkpoint(step)))
    return last


def _save(job: Job, trainer: Watched, tokenizer: PreTrainedTokenizerBase) -> str:
    """The artefact, whole or absent: weights, tokenizer and the very template of the training."""
    job.voice.phase("saving")
    return patiently(
        lambda: _write(job, trainer, tokenizer), artefact_bytes(trainer.model),
        trainer.state.global_step, job.run, job.voice, job.wishes,
    )  # fmt: skip


def _write(job: Job, trainer: Watched, tokenizer: PreTrainedTokenizerBase) -> str:
    whole = job.recipe.adaptation.trains_base
    final = job.run.model if whole else job.run.adapter
    with durable.staged(final) as aside:
        if whole:
            _round_as_stored(trainer.model, models.look(models.resolve(job.recipe.model)).stored)
        trainer.model.save_pretrained(aside, safe_serialization=True)
        (aside / "README.md").unlink(missing_ok=True)  # PEFT's empty form, made just now
        if readme := job.recipe.adaptation.readme:
            (aside / "README.md").write_text(readme, encoding="utf-8")
        tokenizer.save_pretrained(aside)
        if job.recipe.data.template:  # an adapter has none of its own
            trainer.model.generation_config.save_pretrained(aside)
        durable.seal(aside, step=trainer.watch.best.step or trainer.state.global_step)
    return final.name


def _round_as_stored(model: Any, stored: str) -> None:
    """Keep the base's own precision on disk, before scoring, so that what is saved is scored."""
    dtype = STORED.get(stored)
    if dtype is not None:
        for parameter in model.parameters():  # not the buffers: rotary frequencies stay in 32 bits
            parameter.data = parameter.data.to(dtype)
        model.config.dtype = dtype
