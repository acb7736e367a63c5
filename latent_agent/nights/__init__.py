"""Nights: load traces, train a prior, test it at the gate, publish it; schedules."""
