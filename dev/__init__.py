"""What developers of this project run, from a checkout; none of it is in the wheel."""
