"""Models and GPUs known without a network: exact shapes, usable memory, dated prices."""

from core.catalog.gpus import Gpu, Price, find_gpu, gpus, recognise_gpu
from core.catalog.models import CatalogModel, find_model, look, models

__all__ = [
    "CatalogModel",
    "Gpu",
    "Price",
    "find_gpu",
    "find_model",
    "gpus",
    "look",
    "models",
    "recognise_gpu",
]
