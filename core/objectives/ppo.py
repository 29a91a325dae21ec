"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) of a language model.

As in Ziegler et al. 2019 (arXiv 1909.08593) and Ouyang et al. 2022 (arXiv 2203.02155).
"""

from typing import ClassVar, Literal

from pydantic import Field

from core.objectives.rewarded import Rewarded
from core.value import EXPERT


class PPO(Rewarded):
    """Answer, be rewarded, and make what paid off likelier, in small steps."""

    kind: Literal["ppo"] = "ppo"
    family: ClassVar = "From rewards"
    title: ClassVar = "Earn rewards (PPO)"
    summary: ClassVar = (
        "Learns from rewards of its own answers, judged token by token with a value model that is "
        "learned along. For a model that can do the task now and then already."
    )
    rate_share: ClassVar = (
        0.1,
        "a tenth of it for rewards: larger steps leave the language behind "
        "(published PPO recipes: 1e-6 to 1e-5 in full, 1e-5 to 5e-5 with LoRA)",
    )
    counted_as: ClassVar = "ppo"

    kl_coefficient: float = Field(
        0.05,
        ge=0,
        le=10,
        title="KL coefficient",
        description="How dear each nat of distance from the model as it was is. 0 lets rewards "
        "alone decide; the language then falls apart sooner or later. Usual: 0.01 to 0.2.",
    )
    kl: Literal["fixed", "adaptive"] = Field(
        "fixed",
        title="KL control",
        description="adaptive raises and lowers the coefficient until answers are as far away as "
        "the target (arXiv 1909.08593).",
        json_schema_extra=EXPERT,
    )
    kl_target: float = Field(
        6.0,
        gt=0,
        le=1000,
        title="KL target",
        description="Distance of an answer, in nats, that adaptive control aims at. Usual: 1 to "
        "10; 6 in the paper.",
        json_schema_extra=EXPERT,
    )
    kl_estimator: Literal["k1", "k3"] = Field(
        "k1",
        title="KL estimator",
        description="k1 is the log-ratio of a token; k3 varies less and is never negative.",
        json_schema_extra=EXPERT,
    )
    clip: float = Field(
        0.2,
        gt=0,
        lt=1,
        title="Clip",
        description="How far the likelihood of a token may move within one rollout. 0.2 in the "
        "paper.",
        json_schema_extra=EXPERT,
    )
    value_clip: float = Field(
        0.2,
        gt=0,
        title="Value clip",
        description="How far the value of a token may move within one rollout. Rewards much "
        "larger than 1 need more.",
        json_schema_extra=EXPERT,
    )
    value_coefficient: float = Field(
        0.1,
        ge=0,
        le=10,
        title="Value coefficient",
        description="Weight of the value loss, which shares the model's layers. Usual: 0.1.",
        json_schema_extra=EXPERT,
    )
    value_learning_rate: float = Field(
        1e-3,
        gt=0,
        lt=1,
        title="Learning rate of the value head",
        description="Of the one linear layer that begins at nothing; the shared layers have the "
        "learning rate of the training.",
        json_schema_extra=EXPERT | {"rate": True},
    )
    entropy_coefficient: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Entropy coefficient",
        description="Reward for staying uncertain, against answers that become all alike too "
        "soon. Usual: 0 to 0.01.",
        json_schema_extra=EXPERT,
    )
    gamma: float = Field(
        1.0,
        gt=0,
        le=1,
        title="Discount",
        description="Worth of a reward one token later. 1 for answers that are rewarded once.",
        json_schema_extra=EXPERT,
    )
    lam: float = Field(
        0.95,
        ge=0,
        le=1,
        title="Lambda",
        description="1 trusts what was earned in the end, 0 only the value model "
        "(arXiv 1506.02438). Usual: 0.95.",
        json_schema_extra=EXPERT,
    )
    epochs_per_batch: int = Field(
        4,
        ge=1,
        le=20,
        title="Epochs per rollout",
        description="How often the same answers are learned from before new ones are made.",
        json_schema_extra=EXPERT,
    )
    minibatches: int = Field(
        1,
        ge=1,
        le=64,
        title="Steps per epoch of a rollout",
        description="A rollout has so many times the answers of one step (batch x accumulation).",
        json_schema_extra=EXPERT,
    )
    whiten_rewards: bool = Field(
        False,
        title="Even out rewards",
        description="Divide rewards of a rollout by their spread, when their size changes a lot.",
        json_schema_extra=EXPERT,
    )
    missing_end_penalty: float = Field(
        0.0,
        ge=0,
        le=100,
        title="Penalty for answers without an end",
        description="Taken off the reward of an answer that was cut off. Usual: 0, or 1 when "
        "answers run on.",
        json_schema_extra=EXPERT,
    )

    @property
    def steps(self) -> int:
        """Changes of the weights that one rollout gives."""
        return self.epochs_per_batch * self.minibatches

    @property
    def passes(self) -> int:
        """As the answers of a rollout."""
        return self.epochs_per_batch
