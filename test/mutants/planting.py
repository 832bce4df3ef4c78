"""The bug bank: bugs that event loops and their kin really had, each to be planted in ferry.

An entry names the bug, says in one line where it was met, and gives the smallest change of the
library that brings it back: texts that occur exactly once in their file, and what stands there
instead. `run.py` builds each and lets the simulator look for it.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Edit:
    file: str
    old: str
    new: str


@dataclasses.dataclass(frozen=True)
class Mutant:
    name: str
    history: str
    edits: tuple


BANK = []


def plant(name, history, file, *texts):
    """One bug in one file; `texts`: what is replaced, and by what, in turn."""
    pairs = zip(texts[::2], texts[1::2], strict=True)
    BANK.append(Mutant(name, history, tuple(Edit(file, old, new) for old, new in pairs)))
