"""The arithmetic of PPO against numbers that TRL 1.12.0's PPOTrainer computed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from core.engine.ppo import losses

PLACE = Path(__file__).parents[1] / "data" / "ppo"
STEPS = 8
NAMES = sorted(path.stem for path in PLACE.glob("*.safetensors"))


class Recorded:
    """One recorded rollout and the steps that learned from it."""

    def __init__(self, name: str) -> None:
        with safe_open(PLACE / f"{name}.safetensors", "pt") as file:
            self.settings = file.metadata()
            self.found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        self.mask = ~self.found["padding_mask"]
        self.value_mask = ~self.found["padding_mask_p1"]

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.found[name]

    def number(self, name: str) -> float:
        return float(self.settings[name])


@pytest.fixture(params=NAMES)
def recorded(request: pytest.FixtureRequest) -> Recorded:
    return Recorded(request.param)


def same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_every_setting_was_recorded_by_the_last_release_with_ppo() -> None:
    assert len(NAMES) == 6
    assert {Recorded(name).settings["trl"] for name in NAMES} == {"1.12.0"}


def test_rewards_of_tokens(recorded: Recorded) -> None:
    estimator = recorded.settings["kl_estimator"]
    apart = losses.divergence(recorded["logprobs"], recorded["ref_logprobs"], estimator)  # type: ignore[arg-type]
    same(apart, recorded["kl"])
    made = losses.token_rewards(
        apart, recorded.number("kl_coef"), recorded["scores"], recorded["actual_end"]
    )
    if recorded.settings["whiten_rewards"] == "True":
        made = losses.whiten(made, recorded.value_mask, keep_mean=True)
    same(made, recorded["rewards"])


def test_advantages_and_returns(recorded: Recorded) -> None:
    found, returns = losses.advantages_of(
        recorded["rewards"], recorded["values"], recorded.number("gamma"), recorded.number("lam")
    )
    same(found, recorded["advantages"])
    same(returns, recorded["returns"])
    same(losses.whiten(found, recorded.mask), recorded["whitened"])


def test_losses_of_every_step(recorded: Recorded) -> None:
    assert len(recorded["pg_clipfrac_stats"]) == STEPS
    for step in range(STEPS):
        one = {key: recorded[f"step{step}.{key}"] for key in ("rows", "new_logprobs", "vpred")}
        rows = one["rows"]
        loss, clipped = losses.policy_loss(
            one["new_logprobs"], recorded["logprobs"][rows], recorded["whitened"][rows],
            recorded.mask[rows], recorded.number("cliprange"),
        )  # fmt: skip
        same(loss, recorded[f"step{step}.pg_loss"])
        same(clipped, recorded["pg_clipfrac_stats"][step])
        value = losses.value_loss(
            one["vpred"], recorded["values"][rows], recorded["returns"][rows],
            recorded.value_mask[rows], recorded.number("cliprange_value"),
        )  # fmt: skip
        same(value, recorded[f"step{step}.vf_loss"])


def test_clipping_was_at_work_in_what_was_recorded() -> None:
    assert max(Recorded(name)["pg_clipfrac_stats"].max() for name in NAMES) > 0.2
    assert max(Recorded(name)["step5.vf_clipfrac"] for name in NAMES) > 0.2


@pytest.mark.parametrize("step", [0, 5])
def test_likelihood_and_entropy_of_a_step(recorded: Recorded, step: int) -> None:
    rows, logits = recorded[f"step{step}.rows"], recorded[f"step{step}.logits"]
    answers = recorded["query_responses"][rows, -logits.shape[1] :]
    mask = recorded.mask[rows]
    found = losses.log_probs_of(logits, answers)
    same(found[mask], recorded[f"step{step}.new_logprobs"][mask])
    same(losses.entropy_of(logits).mean(), recorded["entropy_stats"][step])


def test_k3_is_never_negative_and_k1_is_the_log_ratio() -> None:
    log_probs, reference = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.5, -1.0]])
    assert losses.divergence(log_probs, reference, "k1").tolist() == [[0.5, -1.0]]
    assert (losses.divergence(log_probs, reference, "k3") > 0).all()


@pytest.mark.parametrize(
    ("measured", "becomes"), [(6.0, 0.1), (60.0, 0.102), (0.0, 0.098), (6.6, 0.101)]
)
def test_the_coefficient_follows_the_divergence(measured: float, becomes: float) -> None:
    assert losses.next_coefficient(0.1, measured, 6.0) == pytest.approx(becomes)


def test_one_token_alone_cannot_be_whitened_into_nan() -> None:
    found = losses.whiten(torch.tensor([[3.0, 9.0]]), torch.tensor([[True, False]]))
    assert found.tolist() == [[0.0, 0.0]]
