"""What a run does now, in plain words: the newest tool, or how many files in a row."""

_IN_A_ROW = ("reads", "writes", "edits")


class Doing:
    """Hears of each tool and says it in one line."""

    def __init__(self, words: str) -> None:
        self.words = words
        self._verb = ""
        self._objects: set[str] = set()

    def is_(self, words: str) -> None:
        """Something that is no tool: it starts, it thinks."""
        self.words, self._verb, self._objects = words, "", set()

    def uses(self, summary: str) -> None:
        """A tool was started; several of a sort one after the other are counted."""
        verb, _, rest = summary.partition(" ")
        if verb not in _IN_A_ROW or "://" in rest:
            self.is_(summary)
            return
        if verb != self._verb:
            self._verb, self._objects = verb, set()
        self._objects.add(rest)
        many = len(self._objects)
        self.words = summary if many == 1 else f"{verb} {many} files"
