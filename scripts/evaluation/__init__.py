"""Measures the models on pictures that none of them has seen. Run by scripts/evaluate.py."""
