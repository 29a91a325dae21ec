"""Fine-tuning without a window. Nothing here imports Qt; torch lives in core.engine."""

__version__ = "0.1.0"
