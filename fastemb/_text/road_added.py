"""Added tokens on the general road: found before the model sees a text, in the raw text or in the normalised one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from .core import SpecialTokenFound, lib
from .road_text import Stretch
from .step_classes import one_of
from .vocabulary import AddedToken

Part = tuple[int, Stretch]  # the number of an added token, or -1 for text

TEXT = -1


class Finder:
    """Finds added tokens: the leftmost, and of several there the longest.

    Each is looked for by its `contents`; of two with the same the first one counts.
    """

    def __init__(self, tokens: Sequence[tuple[int, AddedToken]], contents: Sequence[str]) -> None:
        self._token: dict[str, tuple[int, AddedToken]] = {}
        for (number, token), content in zip(tokens, contents, strict=True):
            self._token.setdefault(content, (number, token))
        names = sorted(self._token, key=len, reverse=True)
        # No alternative is tried where none can begin, however many there are.
        first = "".join(re.escape(char) for char in sorted({name[0] for name in names}))
        self._pattern = re.compile(f"(?=[{first}])(?:{'|'.join(map(re.escape, names))})") if names else None

    def parts(self, stretch: Stretch, actions: bytes) -> Iterator[Part]:
        """Yield the added tokens of a stretch, and the text between them; nothing that is empty.

        A token that is not taken uses up its characters all the same: no other is found in them. One that takes the
        white space behind it does not: the next may begin there, and is then found with it.

        Raises
        ------
        SpecialTokenFound
            A token is found that was to be refused.
        """
        text, last = stretch.text, 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            number, token = self._token[match[0]]
            if actions[number] == lib.FE_TOKEN_PLAIN:
                continue
            start, end = match.span()
            if token.single_word and not _stands_alone(text, start, end):
                continue
            if actions[number] == lib.FE_TOKEN_REFUSE:
                raise SpecialTokenFound(number, 0, stretch.starts[start])
            space = one_of("space")
            if token.lstrip:
                while start and space.match(text[start - 1]):
                    start -= 1
                start = max(start, last)  # what the token before has taken is its own
            while token.rstrip and end < len(text) and space.match(text[end]):
                end += 1
            if last < start:
                yield TEXT, stretch.part(last, start)
            if start < end:
                yield number, stretch.part(start, end)
            last = end
        if last < len(text):
            yield TEXT, stretch.part(last, len(text)) if last else stretch.part(0, len(text))


def _stands_alone(text: str, start: int, end: int) -> bool:
    word = one_of("word")
    return not (start and word.match(text[start - 1])) and not (end < len(text) and word.match(text[end]))


def finders(added: Sequence[AddedToken], normalize: Callable[[str], str]) -> tuple[Finder, Finder]:
    """Return what finds the tokens of the raw text, and what finds those of the normalised text.

    Of two that are alike behind the normalizers the special one counts, then the first one.
    """
    numbered = {token.content: (number, token) for number, token in enumerate(added)}
    raw = [one for one in numbered.values() if not one[1].late]
    late = sorted((one for one in numbered.values() if one[1].late), key=lambda one: not one[1].special)
    return Finder(raw, [token.content for _, token in raw]), Finder(
        late, [normalize(token.content) for _, token in late]
    )
