"""What the documentation site (docs/) takes from the repository at build time."""
