"""Stored texts on a terminal: none of them is markup to us."""

from rich.markup import escape

from latent_agent.server.memory_page.texts import clean


def plain(text: str) -> str:
    """Return a text that rich prints as it stands."""
    return escape(clean(text))
