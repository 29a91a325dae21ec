"""The arguments that every trainer gets, whatever the objective."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.draft import Settings
from core.recipe import Recipe


def arguments(recipe: Recipe, settings: Settings, folder: Path) -> dict[str, Any]:
    """Every argument that TRL or transformers would choose otherwise, said aloud."""
    training = recipe.training
    return dict(  # noqa: C408 - reads like the call it becomes
        output_dir=str(folder),
        max_steps=settings.steps,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.accumulation,
        warmup_steps=settings.warmup_steps,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(
            training.schedule, training.schedule
        ),
        weight_decay=training.weight_decay,
        max_grad_norm=training.clip,
        optim="adamw_torch_fused" if settings.device == "cuda" else "adamw_torch",
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
