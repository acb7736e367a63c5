"""Names that shelves have for their reward where no reward scored what lies there."""

FEEDBACK = "feedback"
"""The reward of the shelf that rated traces lie on."""

UNRATED = "unrated"
"""The reward of the shelf of answers that only a rating can make something of."""
