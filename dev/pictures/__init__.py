"""Pictures for the docs, from real runs of the bundled model."""
