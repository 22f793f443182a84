"""From pixels to an `Analysis`: the only part that talks to Triton, and it knows no API."""
