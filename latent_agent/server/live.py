"""Plain generation as it is written: what is sent never has to be taken back."""

from collections.abc import Sequence

from latent_agent.model.open_answer import cut_at_stop


class LiveText:
    """An answer that is being written, up to where it may still end at a stop text.

    Args:
        stop: Texts that end it.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop, self._text = stop, ""
        self._held = max((len(text) for text in stop), default=1) - 1
        self.sent = 0

    def take(self, piece: str) -> str:
        """Take what was written since; return what may be sent now."""
        self._text += piece
        if self._text[:1].isspace():  # of a thought the blanks after it are no part
            return ""
        sure = min(len(cut_at_stop(self._text, self._stop)), max(0, len(self._text) - self._held))
        begins, self.sent = self.sent, max(sure, self.sent)
        return self._text[begins : self.sent]
