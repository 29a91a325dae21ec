"""New rows for a dataset, written by a model and judged by the doctor."""
