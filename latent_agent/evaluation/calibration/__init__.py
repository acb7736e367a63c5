"""What helps this model: rewards and searches on answers that were sampled once."""
