"""Turn texts into token ids.

What is written, by the suffix or --to: txt, a line of ids for each document; jsonl, {"text", "ids"} for each; npz, the
arrays ids (int32, all documents one after another) and offsets (int64), which fastemb.Ragged takes. An output appears
when it is whole, and a run that was ended goes on when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .. import options, results
from ..progress import Progress
from ..writing.delivery import Work, deliver, printed, says_more
from ..writing.resuming import check_output, is_stream

if TYPE_CHECKING:
    from fastemb import Tokenizer

HELP = "turn texts into token ids"
KINDS = ("txt", "jsonl", "npz")
END = -1  # behind the ids of every document, as long as they lie in a part: no id is negative
BLOCK = 1 << 22  # bytes of a part that are looked at together


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.add_files(parser)
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, default=Path("-"), help="default: standard output")
    parser.add_argument("--to", choices=KINDS, help="what to write, whatever the suffix (default: txt)")
    options.add_tokenizer(parser)
    parser.add_argument("--special", action="store_true", help="recognise special tokens that stand in texts")
    parser.add_argument("--template", action="store_true", help="add what the model wants around a text, as [CLS]")
    options.add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    options.set_threads(args)
    files = options.sources(args)
    if not is_stream(args.output):
        check_output(args.output, [source.name for source in files], args.tokenizer)
    suffix = args.output.suffix.lower().removeprefix(".")
    kind = args.to or suffix or "txt"
    if kind not in KINDS:
        raise ValueError(
            f"{args.output}: the suffix .{suffix} does not say what to write: {', '.join(KINDS)}; or use --to"
        )
    progress = Progress(sum(source.size for source in files), args.quiet, printed=printed(args.output))
    work = _Ids(options.tokenizer(args), kind, args, progress)
    decides = {"to": kind, "tokenizer": _identity(args), "special": args.special, "template": args.template}
    deliver(args.output, work, files, decides, args.quiet)
    if says_more(args.output, args.quiet):
        print(f"wrote {results.plain(str(args.output))}: {work.documents:,} documents, {work.tokens:,} tokens")
    return 0


def _identity(args: argparse.Namespace) -> Any:
    if args.tokenizer is None:
        return None
    found = args.tokenizer.stat()
    return [str(args.tokenizer), args.pattern, found.st_size, found.st_mtime_ns]


class _Ids(Work):
    """Documents in, ids out."""

    shared = True

    def __init__(self, tokenizer: Tokenizer, kind: str, args: argparse.Namespace, progress: Progress) -> None:
        super().__init__(progress, elsewhere=kind == "npz", in_order=kind != "npz")
        self.tokenizer, self.kind, self.tokens = tokenizer, kind, 0
        self.special, self.template = "all" if args.special else "none", args.template

    def compute(self, texts: list[str]) -> Any:
        """Return the ids of a block."""
        rows: Any = self.tokenizer.encode_batch(texts, special=self.special, template=self.template)  # type: ignore[call-overload]
        return rows

    def count(self, result: Any) -> None:
        """Count tokens."""
        self.tokens += result.ids.size

    def block(self, texts: list[str], result: Any) -> Any:
        """Return the bytes that are written of a block."""
        import numpy as np

        if self.kind == "npz":
            return np.insert(result.ids, result.offsets[1:], END).astype("<i4").data if texts else b""
        flat, ends = list(map(str, result.ids.tolist())), result.offsets.tolist()
        between = pairwise(ends)
        if self.kind == "txt":
            return "".join([" ".join(flat[start:end]) + "\n" for start, end in between]).encode()
        return "".join(
            f'{{"text": {json.dumps(text, ensure_ascii=False)}, "ids": [{", ".join(flat[start:end])}]}}\n'
            for text, (start, end) in zip(texts, between, strict=True)
        ).encode()

    def finish(self, part: IO[bytes], new: IO[bytes] | None) -> None:
        """Take the ids and the ends of documents apart."""
        import numpy as np

        if new is None:
            return
        part.seek(0, 2)
        ids = part.tell() // 4 - self.documents
        with zipfile.ZipFile(new, "w") as file:
            for name, count, kind in (("ids", ids, "<i4"), ("offsets", self.documents + 1, "<i8")):
                info = zipfile.ZipInfo(f"{name}.npy")  # of 1980, so that bytes do not depend on the day
                part.seek(0)
                with file.open(info, "w", force_zip64=True) as member:
                    said = {"descr": kind, "fortran_order": False, "shape": (count,)}
                    np.lib.format.write_array_header_1_0(member, said)
                    done = 0
                    if name == "offsets":
                        member.write(np.zeros(1, kind).tobytes())
                    while data := part.read(BLOCK):
                        values = np.frombuffer(data, "<i4")
                        ends = np.flatnonzero(values == END)
                        if name == "ids":
                            member.write(values[values != END].tobytes())
                        else:
                            member.write((ends - np.arange(ends.size) + done).astype(kind).tobytes())
                        done += values.size - ends.size
