"""Documents out of files, in blocks of bounded size: what a file is, how it is packed, and a reader a kind of file."""

from .files import KINDS, Block, ChangedError, Position, Source, read, sources, texts

__all__ = ["KINDS", "Block", "ChangedError", "Position", "Source", "read", "sources", "texts"]
