"""Runs plans. Knows plans and costs; knows nothing of the language."""
