"""What a process said that it did, before it was killed."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Ledger:
    """Notes in a file that outlives the process.

    Attributes:
        file: Where they are.
        stored: The number of each trace whose adding was acknowledged, by id.
        leaving: Ids that it began to forget.
        gone: Ids whose forgetting was acknowledged.
        last: The highest number that it began to add.
        said: The numbers of the pieces of feedback that were acknowledged, by the trace's id.
        last_said: The highest number of a piece that it began to give.
    """

    file: Path
    stored: dict[int, int] = field(default_factory=dict[int, int])
    leaving: set[int] = field(default_factory=set[int])
    gone: set[int] = field(default_factory=set[int])
    last: int = 0
    said: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    last_said: int = 0

    def read(self) -> "Ledger":
        """Read it; what was written before a kill is there."""
        for line in self.file.read_text().splitlines() if self.file.exists() else ():
            word, *numbers = json.loads(line)
            match word:
                case "adding":
                    self.last = max(self.last, *numbers)
                case "added":
                    self.stored[numbers[0]] = numbers[1]
                case "rating":
                    self.last_said = max(self.last_said, numbers[1])
                case "rated":
                    self.said.setdefault(numbers[0], []).append(numbers[1])
                case "forgetting":
                    self.leaving.update(numbers)
                case _:
                    self.gone.update(numbers)
        return self

    def note(self, word: str, *numbers: int) -> None:
        """Note something, at once."""
        handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, (json.dumps([word, *numbers]) + "\n").encode())
        os.close(handle)
