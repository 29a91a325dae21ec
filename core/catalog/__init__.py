"""Models and GPUs known without a network: exact shapes, usable memory, dated prices."""

from core.catalog.gpus import Gpu, Price, find_gpu, gpus
from core.catalog.models import CatalogModel, find_model, models

__all__ = ["CatalogModel", "Gpu", "Price", "find_gpu", "find_model", "gpus", "models"]
