"""Whether all is well: versions, model, memory, indexes, nights, priors, and one call."""
