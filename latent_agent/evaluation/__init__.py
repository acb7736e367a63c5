"""Does it work, by how much, and against what: methods on the same model, prompt and judge."""
