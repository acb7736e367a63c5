"""Priors and nights as rows."""
