"""A conversation: questions, answers, and commands about the last answer."""

import re

from rich.table import Table
from rich.text import Text

from latent_agent.cli.conversation.lines import LineSource
from latent_agent.cli.conversation.partner import Partner, Reply, Said, Turn
from latent_agent.cli.conversation.screen import Screen
from latent_agent.cli.way import summary, way_table
from latent_agent.errors import LatentAgentError, SettingError
from latent_memory import LatentMemoryError

COMMANDS = {
    "why": "how the last answer came about",
    "up": "the last answer is right; /up WHY keeps a comment",
    "down": "the last answer is wrong; /down WHY keeps a comment",
    "correct": "edit the last answer into the right one, or /correct TEXT",
    "new": "begin a new conversation; the memory stays",
    "help": "show this",
    "quit": "leave, as Ctrl-D does",
}
_COMMAND = re.compile(r"/(\w*)(?:\s+(.*))?", re.DOTALL)
_ERRORS = (LatentAgentError, LatentMemoryError)


class Talk:
    """A conversation.

    Args:
        partner: Who answers.
        lines: What the user says.
        screen: Shows it.
    """

    def __init__(self, partner: Partner, lines: LineSource, screen: Screen) -> None:
        self._partner, self._lines, self._screen = partner, lines, screen
        self._turns: list[Turn] = []
        self._asked: list[Turn] = []
        self._last: Reply | None = None
        self.failed = 0
        """Lines that came to nothing."""

    def run(self) -> None:
        """Talk until the lines end, or one is ``/quit``."""
        if self._screen.terminal:
            self._screen.note(self._partner.title)
            self._screen.note("/help shows the commands, Ctrl-C stops an answer, Ctrl-D leaves.")
        while self._turn():
            self._screen.gap()

    def _turn(self) -> bool:
        """Read a line and do what it says; return whether the conversation goes on."""
        try:
            line = self._lines.next()
            command = _COMMAND.fullmatch(line.rstrip())
            if command is None:
                self._ask(line.strip())
            elif command[1] in ("quit", "q", "exit"):
                return False
            else:
                self._command(command[1], (command[2] or "").strip())
        except EOFError:
            return False
        except KeyboardInterrupt:
            if not self._lines.terminal:  # a script that is stopped, stops
                raise
            self._screen.note("Stopped. Ctrl-D or /quit leaves.")
        except _ERRORS as error:
            self.failed += 1
            self._screen.error(str(error))
        return True

    def _ask(self, question: str) -> None:
        if not question:
            return
        asked: list[Turn] = [*self._turns, ("human", question)]
        self._asked = asked
        with self._screen.growing() as growing:
            answer = self._partner.answer(asked, growing.show)
        self._last = answer
        if answer.text.strip():  # else the model would see a turn of nothing
            self._turns = [*asked, ("ai", answer.text)]
        self._screen.answer(answer.text)
        if answer.cut:
            self._screen.note("(cut off: --max-tokens sets how long an answer may be)")
        if answer.way is not None and self._screen.terminal:
            self._screen.note(f"({summary(answer.way)})")

    def _command(self, name: str, text: str) -> None:
        match name:
            case "why":
                self._why()
            case "up":
                self._rate(Said(score=1.0, comment=text or None))
            case "down":
                self._rate(Said(score=0.0, comment=text or None))
            case "correct":
                self._correct(text)
            case "new":
                self._turns, self._asked, self._last = [], [], None
                self._screen.note("A new conversation.")
            case "help":
                self._help()
            case _:
                raise SettingError(
                    f"a command must be one of /{', /'.join(COMMANDS)}, got '/{name}'; a question "
                    "that begins with a slash needs a space before it"
                )

    def _answer(self) -> Reply:
        if self._last is None:
            raise SettingError("there must be an answer first, got none yet; ask something")
        return self._last

    def _why(self) -> None:
        way = self._answer().way
        if way is None:
            self._screen.note("This server does not say how its answers come about.")
        else:
            self._screen.shown(way_table(way, self._partner.question_of))

    def _rate(self, said: Said) -> None:
        self._screen.note(self._partner.rate(self._answer(), said))

    def _correct(self, text: str) -> None:
        answer = self._answer()
        right = (text or self._lines.edited(answer.text.strip())).strip()
        if right in ("", answer.text.strip()):
            self._screen.note("Nothing was changed, and nothing is kept.")
            return
        self._rate(Said(correction=right))
        if self._asked:  # the conversation goes on from what is right
            self._turns = [*self._asked, ("ai", right)]

    def _help(self) -> None:
        table = Table.grid(padding=(0, 2))
        for name, does in COMMANDS.items():
            table.add_row(Text(f"/{name}", style="bold"), Text(does))
        self._screen.shown(table)
        self._screen.note("Alt-Enter begins a new line of a question.")
