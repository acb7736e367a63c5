"""Answers of a real model, sampled once; rewards are compared on them."""
