"""Hostile input on purpose: coverage-guided fuzzing of what parses, and mutated requests against a running service."""
