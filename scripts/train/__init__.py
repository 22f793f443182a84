"""How every weight in `model_repository/` was made. See README.md in this folder."""
