"""Tools: what a prompt tells of them, how calls are written and read, and what forces one."""
