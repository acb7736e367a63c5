"""How the bundled model was trained and measured: ``python -m dev.bundled_model.train``."""
