"""The window. It shows a recipe and a run; nothing here decides and nothing here trains."""
