"""A reward that takes its time, and accepts nothing."""

import time


def slow(question: str, answer: str) -> float:
    time.sleep(0.3)
    return -1.0
