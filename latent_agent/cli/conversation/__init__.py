"""A conversation: who answers, where its lines come from, what is shown."""
