"""One HTML page about a memory."""
