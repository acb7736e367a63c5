"""What users, tests and judges said of answers, and what it comes to."""
