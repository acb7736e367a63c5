"""Tools: how prompts describe them, how calls are written and read, and what forces one."""
