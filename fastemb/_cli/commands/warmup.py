"""Compile kernels now instead of at their first use; what is compiled is kept on disk."""

from __future__ import annotations

import argparse

import fastemb

HELP = "compile kernels ahead of their first use"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="functions, such as gather (default: all)")
    parser.add_argument("--dtype", nargs="+", default=["float32"], help="dtypes of tables (default: float32)")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    seconds = fastemb.warmup(*args.names, dtypes=args.dtype)
    if not args.quiet:
        for name, time in seconds.items():
            print(f"{name:<24}{time:8.2f} s")
    return 0
