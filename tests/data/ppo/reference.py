"""Record what TRL 1.12.0's PPOTrainer computes, as numbers for tests/engine/test_ppo_losses.py.

TRL 1.12.0 is the last release with a PPO trainer; it needs an environment of its own:

    pip install trl==1.12.0 rich
    python tests/data/ppo/reference.py

It trains a tiny Llama with random weights on eight fixed questions, once per setting, and writes
one safetensors file per setting. The trainer keeps its tensors in local variables; they are read
from its frame whenever it calls one of its own helper functions, so that its code runs unchanged.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

HERE = Path(__file__).parent
WORDS = 24
ROLLOUT = (
    "query_responses", "logprobs", "ref_logprobs", "scores", "values", "kl", "rewards",
    "padding_mask", "padding_mask_p1", "actual_end",
)  # fmt: skip
STEP = ("new_logprobs", "vpred", "pg_loss", "vf_loss", "vf_clipfrac", "ratio")
STATISTICS = ("approxkl_stats", "pg_clipfrac_stats", "entropy_stats")
SETTINGS: dict[str, dict[str, Any]] = {
    "usual": {},
    "tight": {"cliprange": 0.05, "cliprange_value": 0.05, "vf_coef": 0.5},
    "discounted": {"gamma": 0.9, "lam": 0.8, "kl_coef": 0.5},
    "k3": {"kl_estimator": "k3", "kl_coef": 0.3, "temperature": 0.7},
    "whitened": {"whiten_rewards": True, "kl_coef": 0.2, "lam": 1.0},
    "penalised": {"missing_eos_penalty": 1.0, "gamma": 0.95},
}


class Notes:
    """Copies of the trainer's local variables, by the moments at which it calls its helpers."""

    def __init__(self) -> None:
        self.found: dict[str, torch.Tensor] = {}
        self._steps = self._means = 0
        self._mean, self._whiten = ppo_trainer.masked_mean, ppo_trainer.masked_whiten

    def mean(self, *arguments: Any, **named: Any) -> Any:
        """The fourth mean of a step is its last: everything but the entropy is there."""
        caller = sys._getframe(1)
        if caller.f_code.co_name == "train":
            self._means += 1
            if self._means % 4 == 0:
                self._step(caller.f_locals)
        return self._mean(*arguments, **named)

    def whiten(self, values: torch.Tensor, mask: torch.Tensor, shift_mean: bool = True) -> Any:
        """Advantages are whitened last, when the whole rollout is known."""
        result = self._whiten(values, mask, shift_mean)
        if shift_mean:
            known = sys._getframe(1).f_locals
            self._keep("", known, ROLLOUT)
            self._keep("", {"advantages": values, "returns": known["returns"]})
            self._keep("", {"whitened": torch.where(mask, result, 0)})
        return result

    def _step(self, known: dict[str, Any]) -> None:
        self._keep(f"step{self._steps}.", known, STEP)
        rows = torch.as_tensor(known["micro_batch_inds"])
        self._keep(f"step{self._steps}.", {"rows": rows})
        if self._steps in (0, 5):
            self._keep(f"step{self._steps}.", known, ("logits",))
        self._steps += 1

    def statistics(self, known: dict[str, Any]) -> None:
        """Figures of every step, after the last; the trainer leaves room for more than it takes."""
        taken = known["gradient_accumulation_idx"]
        self._keep("", {name: known[name][:, :, :taken].flatten() for name in STATISTICS})

    def _keep(self, prefix: str, known: dict[str, Any], names: tuple[str, ...] = ()) -> None:
        for name in names or tuple(known):
            self.found[prefix + name] = known[name].detach().clone().contiguous()


def tokenizer() -> PreTrainedTokenizerFast:
    """Words w0 to w23; w0 pads and w1 ends an answer."""
    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(WORDS)}, unk_token="w2"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="w0", eos_token="w1", padding_side="left"
    )


def shape(**more: Any) -> LlamaConfig:
    """One layer of sixteen numbers; words are told apart strongly, so that entropy varies."""
    return LlamaConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=64, initializer_range=0.5,
        pad_token_id=0, eos_token_id=1, **more,
    )  # fmt: skip


def record(name: str, chosen: dict[str, Any]) -> None:
    """Train for one rollout under one setting and write what was computed."""
    torch.manual_seed(7)
    words, notes = tokenizer(), Notes()
    judge, critic = (LlamaForSequenceClassification(shape(num_labels=1)) for _ in range(2))
    policy, reference = LlamaForCausalLM(shape()), LlamaForCausalLM(shape())
    reference.load_state_dict(policy.state_dict())
    for parameter in reference.parameters():  # a first rollout has no distance otherwise
        parameter.data += 0.05 * torch.randn_like(parameter)
    rows = [{"input_ids": [2 + (3 * n + m) % 22 for m in range(3 + n % 4)]} for n in range(8)]
    settings: dict[str, Any] = {
        "learning_rate": 0.02, "num_ppo_epochs": 4, "num_mini_batches": 2 - ("whiten" in name),
        "total_episodes": 8, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2,
        "response_length": 10, "stop_token": "eos", "temperature": 1.0, "seed": 3, "bf16": False,
        "use_cpu": True, "report_to": "none", "num_sample_generations": 0, "save_strategy": "no",
        "gradient_checkpointing": False, "disable_tqdm": True, **chosen,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = PPOTrainer(
            PPOConfig(output_dir=folder, **settings), words, policy, reference, judge,
            Dataset.from_list(rows), critic,
        )  # fmt: skip
        ppo_trainer.masked_mean, ppo_trainer.masked_whiten = notes.mean, notes.whiten
        trainer.log = lambda metrics: notes.statistics(sys._getframe(1).f_locals)
        trainer.train()
    ppo_trainer.masked_mean, ppo_trainer.masked_whiten = notes._mean, notes._whiten
    shown = {key: str(value) for key, value in settings.items()}
    defaults = PPOConfig(output_dir="unused", **settings)
    for key in ("kl_coef", "kl_estimator", "cliprange", "vf_coef", "cliprange_value", "gamma",
                "lam", "whiten_rewards", "missing_eos_penalty"):  # fmt: skip
        shown[key] = str(getattr(defaults, key))
    save_file(notes.found, HERE / f"{name}.safetensors", {**shown, "trl": trl.__version__})


if __name__ == "__main__":
    assert trl.__version__ == "1.12.0", f"made with trl 1.12.0, not {trl.__version__}"
    for name, chosen in SETTINGS.items():
        record(name, chosen)
        print(name)
