"""What objectives tell beside a loss: one name, title and direction for every screen."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """A figure by the name under which events carry it."""

    name: str
    title: str
    better: Literal["higher", "lower", ""]
    """Which way is better; empty where neither is."""
    about: str
    share: bool = False
    """Whether it is a share, shown in per cent."""


METRICS = (
    Metric("reward", "Mean reward", "higher", "Mean reward of the generated answers."),
    Metric(
        "accuracy",
        "Better answer preferred",
        "higher",
        "Share of pairs whose better answer gets more than the worse one; a tie counts half.",
        share=True,
    ),
    Metric(
        "margin", "Margin", "higher", "How much more the better answer gets than the worse one."
    ),
    Metric(
        "kl",
        "Distance from the model as it was",
        "",
        "Mean over answers of the summed log-ratio to the untrained model, in nats.",
    ),
    Metric(
        "perplexity",
        "Perplexity",
        "lower",
        "Among how many equally likely tokens the model is torn, on the held-out rows.",
    ),
    Metric(
        "kl_per_token",
        "Distance per token",
        "",
        "Mean over generated tokens of the estimated distance to the untrained model, in nats.",
    ),
    Metric(
        "agreement",
        "Agreement with the teacher",
        "higher",
        "Share of trained tokens where the model's likeliest token is the teacher's.",
        share=True,
    ),
    Metric("entropy", "Entropy", "", "Uncertainty over the next token, in nats."),
    Metric("value_loss", "Value loss", "lower", "Error of the value model, half its square."),
    Metric(
        "clipped",
        "Clipped tokens",
        "",
        "Share of tokens whose likelihood has moved as far as a rollout lets it.",
        share=True,
    ),
    Metric("length", "Answer length", "", "Mean tokens of a generated answer."),
)
KNOWN = {metric.name: metric for metric in METRICS}


def told(metrics: dict[str, float]) -> list[tuple[Metric, str]]:
    """Known figures in words, in the order of METRICS."""
    return [(m, show(m, metrics[m.name])) for m in METRICS if m.name in metrics]


def show(metric: Metric, value: float) -> str:
    """A figure as text."""
    return f"{value:.1%}" if metric.share else f"{value:.4g}"
