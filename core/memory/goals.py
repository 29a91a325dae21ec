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
* ppo: Ouyang et al. 2022 (arXiv 2203.02155, appendix C): policy and value model are trained, reward
  model and reference are frozen, all four of one size here; the value model is trained the way the
  policy is. TRL's experimental PPOTrainer keeps the logits of every generated word in 32 bits, and
  has policy and value model in one forward. Not checked.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.memory.setup import OnObjective, Setup
from core.memory.states import States
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
    critic: bool = False
    """Whether a value model is trained along, and a frozen reward model judges."""
    generates: bool = False

    def reads(self, setup: Setup) -> Setup:
        """The step as the trained model sees it."""
        loss = "logits" if self.critic else setup.loss
        return setup.model_copy(update={"rows": setup.rows * self.sequences, "loss": loss})

    def beside(self, *, full: bool) -> str:
        """Which frozen models stand beside the trained ones."""
        known = {"reference": self.reference and full, "reward model": self.critic}
        return " and ".join(name for name, there in known.items() if there)


GOALS: dict[OnObjective, Goal] = {
    "sft": Goal(),
    "dpo": Goal(sequences=2, looks_back=True),
    "reward": Goal(sequences=2, scores=True),
    "ppo": Goal(reference=True, critic=True, generates=True),
    "grpo": Goal(reference=True, generates=True),
}


def headless(model: ModelFacts) -> ModelFacts:
    """The model with a score in the place of its output layer."""
    table = 0 if model.tied else model.vocab * model.hidden
    return model.model_copy(
        update={"parameters": model.parameters - table + model.hidden, "tied": False}
    )


def frozen(goal: Goal, model: ModelFacts, setup: Setup, width: Widths, *, full: bool) -> int:
    """Models beside the trained ones: a reference like the policy, a reward model in 16 bits."""
    half = 2 if setup.cuda and setup.dtype != "fp32" else 4
    reference = model.parameters * width.rest if goal.reference and full else 0
    return reference + (headless(model).parameters * half if goal.critic else 0)


def rollout(goal: Goal, model: ModelFacts, setup: Setup, width: Widths) -> int:
    """Generating the answers of one step: keys and values, and logits.

    transformers: DynamicCache keeps keys and values of every layer and makes a layer's anew for
    each word; GenerationMixin._sample raises the last logits to 32 bits and makes likelihoods.
    """
    if not goal.generates:
        return 0
    answers = setup.rows * setup.accumulation
    layer = 2 * model.kv_heads * model.head_dim * setup.length * answers * width.math
    last = answers * model.vocab * (width.math + 8)
    every = 2 * answers * setup.length * model.vocab * 4 if goal.critic else 0
    return (model.layers + 1) * layer + last + every


def both(one: States, other: States) -> States:
    """Two models that are trained together."""
    return States(
        weights=one.weights + other.weights,
        adapters=one.adapters + other.adapters,
        gradients=one.gradients + other.gradients,
        optimizer=one.optimizer + other.optimizer,
        paged=one.paged + other.paged,
        update=max(one.update, other.update),
    )
