"""Many threads at work on one memory for as long as asked, and what must hold afterwards."""
