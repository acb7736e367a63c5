"""JSON Lines that outlive a kill."""

import json
from pathlib import Path
from typing import Any


class Notes:
    """Rows of a file, each a JSON object in a line of its own.

    Args:
        path: The file; made, with its folder, where there is none. What a kill left of a last line
            is cut off.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text("utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            path.write_text(whole, "utf-8")
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in whole.split("\n")[:-1]]

    def add(self, **row: Any) -> None:
        """Note something, at once."""
        self.rows.append(row)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
