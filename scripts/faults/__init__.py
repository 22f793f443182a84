"""Faults on purpose, under load."""
