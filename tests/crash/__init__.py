"""Kills a process that writes to a memory, again and again, and looks at what is left."""
