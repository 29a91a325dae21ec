"""The arguments that every trainer gets, whatever the objective."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.choices import Training
from core.draft import Settings
from core.engine.optimizers import optimizer_name, second_beta
from core.recipe import Recipe
from core.schedules import decay_steps


def arguments(recipe: Recipe, settings: Settings, folder: Path) -> dict[str, Any]:
    """Every argument that TRL or transformers would choose otherwise, said aloud."""
    training = recipe.training
    return dict(
        output_dir=str(folder),
        max_steps=settings.steps,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.accumulation,
        warmup_steps=settings.warmup_steps,
        **_schedule(training, settings),
        weight_decay=training.weight_decay,
        max_grad_norm=training.clip,
        optim=optimizer_name(settings),
        **_kernels(settings),
        adam_beta1=training.beta1,
        adam_beta2=second_beta(training),
        adam_epsilon=training.epsilon,
        neftune_noise_alpha=training.neftune,
        bf16=settings.bf16,
        tf32=True if settings.bf16 else None,  # for what autocast leaves in 32 bits; since Ampere
        use_cpu=settings.device == "cpu",
        seed=training.seed,
        data_seed=training.seed,
        gradient_checkpointing=settings.checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        eval_strategy="no",
        save_strategy="no",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=settings.device == "cuda",
    )


def _kernels(settings: Settings) -> dict[str, Any]:
    """Liger's layers, without its loss: that would take the place of the fused output layer."""
    if settings.kernels == "none":
        return {}
    loss = {"cross_entropy": False, "fused_linear_cross_entropy": False}
    return {"use_liger_kernel": True, "liger_kernel_config": loss}


def _schedule(training: Training, settings: Settings) -> dict[str, Any]:
    """What transformers calls a schedule, and what only this one takes."""
    name, low = training.schedule, training.final_rate
    match name:
        case "constant":
            return {"lr_scheduler_type": "constant_with_warmup"}
        case "cosine" if low:
            return _scheduler("cosine_with_min_lr", min_lr_rate=low)
        case "wsd":
            return _scheduler(
                "warmup_stable_decay",
                num_decay_steps=decay_steps(training, settings),
                min_lr_ratio=low,
                decay_type="1-sqrt",
            )
    return {"lr_scheduler_type": name}


def _scheduler(name: str, **extra: Any) -> dict[str, Any]:
    return {"lr_scheduler_type": name, "lr_scheduler_kwargs": extra}
