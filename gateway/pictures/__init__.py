"""Bytes and pixels: what reads, fetches, draws or keeps pictures, and knows neither Triton nor an API."""
