"""One call: recall, warm starts, draft, search, remember."""
