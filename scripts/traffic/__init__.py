"""Requests over every API with known right answers, for soak and chaos."""
