"""`AddedToken`: a token that is found in a text before the model sees it."""

from __future__ import annotations

from typing import Any

FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


class AddedToken:
    """A token that is found in a text before the model sees it.

    Parameters
    ----------
    content : str
    single_word : bool
        Not beside a letter, a digit or an underscore.
    lstrip, rstrip : bool
        It takes the white space before it, or behind it.
    normalized : bool, optional
        It is looked for in the normalized text; by default unless it is special.
    special : bool
        It is left out where texts are decoded without special tokens.

    Examples
    --------
    >>> from fastemb.compat.tokenizers import AddedToken
    >>> AddedToken("<mask>", lstrip=True)
    AddedToken("<mask>", rstrip=False, lstrip=True, single_word=False, normalized=True, special=False)
    """

    __slots__ = ("_normalized", "content", "lstrip", "rstrip", "single_word", "special")

    def __init__(
        self,
        content: str = "",
        single_word: bool = False,
        lstrip: bool = False,
        rstrip: bool = False,
        normalized: bool | None = None,
        special: bool = False,
    ) -> None:
        if not isinstance(content, str):
            raise TypeError(f"content must be a str, got {type(content).__name__}")
        self.content = content
        self.single_word, self.lstrip, self.rstrip, self.special = single_word, lstrip, rstrip, special
        self._normalized = normalized

    @property
    def normalized(self) -> bool:
        """Whether it is looked for in the normalized text."""
        return not self.special if self._normalized is None else self._normalized

    @classmethod
    def of(cls, token: Any, special: bool) -> AddedToken:
        """Return a token given as a str, or as an object of this class or of the one it stands for."""
        if isinstance(token, str):
            return cls(token, special=special)
        if not all(hasattr(token, name) for name in ("content", *FLAGS)):
            raise TypeError(f"tokens must be a list of str or AddedToken, got {type(token).__name__} in it")
        if special:
            token.special = True  # the caller's object too, as theirs
        return cls(token.content, **{name: bool(getattr(token, name)) for name in FLAGS})

    def to_json(self, id: int) -> dict[str, Any]:
        """Return the token as a ``tokenizer.json`` lists it."""
        flags = {name: getattr(self, name) for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
        return {"id": id, "content": self.content, **flags}

    @classmethod
    def from_json(cls, node: dict[str, Any]) -> AddedToken:
        """Return the token of an entry of a ``tokenizer.json``."""
        return cls(node["content"], **{name: bool(node.get(name, False)) for name in FLAGS})

    def __getstate__(self) -> dict[str, Any]:
        return {"content": self.content, **{name: getattr(self, name) for name in FLAGS}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __str__(self) -> str:
        return self.content

    def __repr__(self) -> str:
        flags = ", ".join(f"{name}={getattr(self, name)}" for name in ("rstrip", "lstrip", "single_word"))
        return f'AddedToken("{self.content}", {flags}, normalized={self.normalized}, special={self.special})'

    def __eq__(self, other: object) -> bool:
        if not all(hasattr(other, name) for name in ("content", *FLAGS)):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in ("content", *FLAGS))

    def __hash__(self) -> int:
        return hash(self.content)
