"""Where a search starts: neighbours from the memory, and the active prior."""
