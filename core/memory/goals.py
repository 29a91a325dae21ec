"""What an objective needs beside the step of imitation: pairs, other models, generated answers.

Sources, by objective:

* dpo: TRL 1.16, DPOTrainer._compute_loss: better and worse answers are one batch, and the reference
  reads the same batch. With an adapter that is the model itself with the adapter off; in full
  fine-tuning our engine asks it before the first step. Neither is a second model. Checked against
  traced steps (docs/memory-accuracy.md).
* reward: TRL 1.16, RewardTrainer: both answers in one batch; a score of one number per sequence
  stands where the output layer was (AutoModelForSequenceClassification). Not checked.
* grpo: Shao et al. 2024 (arXiv 2402.03300, equation 3) has a frozen reference, as TRL 1.16's
  GRPOTrainer when its beta is not 0; with an adapter it is the model with the adapter off. All
  answers of a step are generated in one go (steps_per_generation = gradient accumulation), and
  likelihoods come from the fused output layer. Not checked.
* ppo: our own trainer (core.engine.ppo): one trunk for policy and values, whose head is one number
  wide and left out here. Entropy needs the logits of every word, and a micro-batch is answered at a
  time. In full fine-tuning a frozen copy is the reference; with an adapter the model with the
  adapter off. Not checked.
* distill: our own trainer (core.engine.distil): the teacher stands beside in the precision of the
  arithmetic, and the logits of both are there at once. What it keeps while it reads is left out.
  Not checked.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.memory.setup import OnObjective, Setup
from core.memory.widths import Widths
from core.models import ModelFacts


@dataclass(frozen=True, slots=True)
class Goal:
    """How a step differs from imitation."""

    sequences: int = 1
    """What the model reads for one row of the batch."""
    scores: bool = False
    """Whether the trained model gives one number instead of a word."""
    looks_back: bool = False
    """Whether the untrained model reads the batch while all that was saved waits."""
    reference: bool = False
    """Whether full fine-tuning needs a frozen copy."""
    whole: bool = False
    """Whether the logits of all words are needed, of answers as well."""
    generates: bool = False
    compares: bool = False
    """Whether a teacher reads the batch too, and all words are compared."""

    def reads(self, setup: Setup) -> Setup:
        """The step as the trained model sees it."""
        loss = "logits" if self.whole else setup.loss
        return setup.model_copy(update={"rows": setup.rows * self.sequences, "loss": loss})

    def beside(self, *, full: bool) -> str:
        """Which frozen model stands beside the trained one."""
        if self.compares:
            return "teacher"
        return "reference" if self.reference and full else ""


GOALS: dict[OnObjective, Goal] = {
    "sft": Goal(),
    "dpo": Goal(sequences=2, looks_back=True),
    "reward": Goal(sequences=2, scores=True),
    "ppo": Goal(reference=True, whole=True, generates=True),
    "grpo": Goal(reference=True, generates=True),
    "distill": Goal(compares=True),
}


def headless(model: ModelFacts) -> ModelFacts:
    """The model with a score in the place of its output layer."""
    table = 0 if model.tied else model.vocab * model.hidden
    return model.model_copy(
        update={"parameters": model.parameters - table + model.hidden, "tied": False}
    )


def frozen(goal: Goal, model: ModelFacts, setup: Setup, width: Widths, *, full: bool) -> int:
    """A reference like the policy, where it is a model of its own, or a teacher."""
    if goal.compares:
        return setup.teacher * width.math
    return model.parameters * width.rest if goal.reference and full else 0


def rollout(goal: Goal, model: ModelFacts, setup: Setup, width: Widths) -> int:
    """Generating the answers of one step: keys and values, and logits.

    transformers: DynamicCache keeps keys and values of every layer and makes a layer's anew for
    each word; GenerationMixin._sample raises the last logits to 32 bits and makes likelihoods.
    """
    if not goal.generates:
        return 0
    answers = setup.rows * (1 if goal.whole else setup.accumulation)
    layer = 2 * model.kv_heads * model.head_dim * setup.length * answers * width.math
    last = answers * model.vocab * (width.math + 8)
    every = 2 * answers * setup.length * model.vocab * 4 if goal.whole else 0
    return (model.layers + 1) * layer + last + every
