"""The command line: a file a command, in `commands`, and what commands share.

How a command is added (`commands/count.py` is a short one to start from):

1. a file in `commands`, called as the command, with three names: ``HELP``, its line in ``fastemb --help``;
   ``add(parser)``, which gives an `argparse.ArgumentParser` its arguments; ``run(args)``, which returns the exit
   status. Its docstring is the text of ``fastemb COMMAND --help``. Nothing heavy is imported above functions, as
   ``fastemb --help`` imports every file. No command imports another;
2. its name in `parser.COMMANDS`, whose order is that of ``fastemb --help``.

Errors are raised, as ValueError or OSError with words that name the file and the row, and become one line and status 2
in `parser.main`. What commands share, of which each knows only what stands above it:

- `progress`, `options`, `results`: the rate and the time left, on a terminal alone; arguments that several commands
  have (files, ``--field``, ``--model``, ``--threads``), and what they mean; how documents that were found are printed;
- `reading`: `reading.sources` says what files are, `reading.read` gives their documents in blocks of bounded size;
- `writing`: `writing.resuming.Part`, an output that appears whole or not at all, and goes on where a run before was
  ended; `writing.delivery`, blocks to an output by several threads; `writing.formats`, what vectors look like in files;
- `comparing`: vectors of length one of documents, and the line of each; the nearest, by an index too; k-means;
- `maps`: what `fastemb map` draws, with the page's own files.
"""
