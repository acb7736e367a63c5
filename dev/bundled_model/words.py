"""Words for talks: real and made up, some of them, and some wordings, kept out of training.

What matters is copying: a name that was never met must come through letter by letter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from latent_agent.teaching.families import NAMES
from latent_agent.teaching.world import split_of

_REAL = (  # noqa: SIM905
    "magic weather function number secret moon river lamp garden table window market train "
    "ticket music colour flower paper engine bridge castle winter summer shadow mirror pocket "
    "button copper silver golden hidden double triple simple future letter planet forest island "
    "desert harbour kitchen pepper sugar butter cheese orange lemon cherry rabbit tiger spider "
    "parrot dragon wizard pirate doctor farmer sailor painter teacher student customer company "
    "account invoice report budget price stock order parcel balance message mail phone clock "
    "calendar holiday birthday meeting office room hotel flight taxi bicycle street city country "
    "news story poem song joke riddle recipe film game score team player record file folder "
    "image video voice word page book shelf author title chapter language translation code test "
    "search index query result value input output total sum count length width height weight "
    "speed distance angle area volume power energy heat pressure age size rank level limit "
    "point line circle square cube signal sensor switch motor robot camera printer screen "
    "keyboard network server database user group role task job plan goal note idea question "
    "answer topic style tone mood greeting cat dog bird fish horse cow bear wolf fox cats dogs "
    "birds bears"
).split()
_ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl dr fl gr pl sh st th tr".split()  # noqa: SIM905
_NUCLEI = "a e i o u ai ea ee io ou".split()  # noqa: SIM905
_CODAS = ["", "", "", "l", "m", "n", "r", "s", "t", "x", "nd", "st"]
_PLACES = (  # noqa: SIM905
    "Rome|Oslo|Lima|Bern|Paris|London|New York|San Diego, CA|Tokyo|Los Angeles, CA|Boston, MA|"
    "Berlin|Cape Town|Hong Kong|Rio|Madrid|Austin, TX|Mexico City|Santa Fe, NM|Vienna"
).split("|")
_SCRIPTS = ((0x4E00, 0x7FFF), (0x3042, 0x3093), (0x30A2, 0x30F3), (0x430, 0x44F), (0xC0, 0xFF),
            (0x3B1, 0x3C9), (0xAC00, 0xCFFF))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Words:
    """Draws words and wordings.

    Attributes:
        rng: Source of randomness.
        new_words: Draw only words that training never sees, instead of only others.
        new_wordings: The same for wordings.
    """

    rng: Random
    new_words: bool = False
    new_wordings: bool = False

    def wording(self, trained: Sequence[str], held: Sequence[str]) -> str:
        """Choose a sentence's form."""
        return self.rng.choice(held if self.new_wordings else trained)

    def _kept(self, word: str) -> bool:
        return (split_of((word,)) == "test") == self.new_words

    def made_up(self) -> str:
        """Invent a word of one to three syllables."""
        rng = self.rng
        while True:
            syllables = rng.choices((1, 2, 3), (2, 4, 1))[0]
            word = "".join(
                rng.choice(_ONSETS) + rng.choice(_NUCLEI) for _ in range(syllables)
            ) + rng.choice(_CODAS)
            if self._kept(word):
                return word

    def word(self) -> str:
        """Draw a word, real or made up."""
        if self.rng.random() < 0.3:
            return self.made_up()
        while not self._kept(word := self.rng.choice(_REAL)):
            pass
        return word

    def joined(self, most: int = 3) -> str:
        """Draw a name of a tool or a parameter, such as ``word_word``."""
        count = self.rng.choices((1, 2, 3)[:most], (4, 5, 1)[:most])[0]
        return "_".join(self.word() for _ in range(count))

    def proper(self) -> str:
        """Draw a person's name."""
        if self.rng.random() < 0.3:
            return self.rng.choice(NAMES)
        return self.word().capitalize()

    def place(self) -> str:
        """Draw a place, at times with more after a comma."""
        if self.rng.random() < 0.25 and not self.new_words:
            return self.rng.choice(_PLACES)
        place = " ".join(self.word().capitalize() for _ in range(self.rng.choice((1, 1, 2))))
        if self.rng.random() < 0.25:
            place += ", " + "".join(self.rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=2))
        return place

    def foreign(self) -> str:
        """Draw letters of another script."""
        first, last = self.rng.choice(_SCRIPTS)
        letters = (chr(self.rng.randint(first, last)) for _ in range(self.rng.randint(2, 6)))
        return "".join(letter for letter in letters if letter.isalpha()) or "ß"

    def phrase(self) -> str:
        """Draw a few words, such as a description."""
        words = [self.word() for _ in range(self.rng.choice((1, 2, 2, 3)))]
        if self.rng.random() < 0.3:
            words[0] = words[0].capitalize()
        return " ".join([self.rng.choice(("a", "the", "one")), *words])

    def number(self) -> int:
        """Draw a whole number, mostly small."""
        return self.rng.choice((self.rng.randint(0, 9), self.rng.randint(10, 99),
                                self.rng.randint(100, 999)))  # fmt: skip

    def chance(self, share: float) -> bool:
        """Tell whether something of this share happens."""
        return self.rng.random() < share
