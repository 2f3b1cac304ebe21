"""Stories in the text form of the bAbI files: numbered lines, and questions with their answer and their supporting lines."""

from collections.abc import Callable, Iterable
from random import Random
from typing import Final


class Story:
    r"""A story under construction.

    Args:
        gap: what stands between a question mark and the tab after it: a blank in the files of question types 1-3 and 5-14, and
            nothing ("") in those of types 4 and 15-20.

    Lines are numbered from 1, statements and questions alike, which is why `tell` and `ask` give the number of the line they wrote.

    >>> story = Story()
    >>> first = story.tell("Mary went to the bathroom")
    >>> story.ask("Where is Mary", "bathroom", [first])
    2
    >>> story.text()
    '1 Mary went to the bathroom.\n2 Where is Mary? \tbathroom\t1\n'
    """

    def __init__(self, gap: str = " ") -> None:
        self.gap: Final = gap
        self.lines: Final[list[str]] = []
        self.questions: Final[list[int]] = []
        """The line numbers of the questions."""

    def tell(self, sentence: str) -> int:
        """Adds a statement, written without its full stop. Returns its line number."""
        self.lines.append(f"{len(self.lines) + 1} {sentence}.")
        return len(self.lines)

    def ask(self, question: str, answer: str, support: Iterable[int]) -> int:
        """Adds a question, written without its question mark. Returns its line number.

        Args:
            question: the question's words.
            answer: as it is written in the file; the items of a list are joined by commas.
            support: the line numbers of the supporting facts, in the order in which they are to be written.
        """
        numbers = " ".join(map(str, support))
        self.lines.append(f"{len(self.lines) + 1} {question}?{self.gap}\t{answer}\t{numbers}")
        self.questions.append(len(self.lines))
        return len(self.lines)

    def text(self, questions: int | None = None) -> str:
        """The story's lines, up to and with question number `questions` (from 1); all of them if it is None or there are fewer."""
        end = len(self.lines) if questions is None or questions > len(self.questions) else self.questions[questions - 1]
        return "".join(f"{line}\n" for line in self.lines[:end])


Simulator = Callable[[Random], Story]
"""What simulates one question type: from a generator of random numbers, one whole story."""
