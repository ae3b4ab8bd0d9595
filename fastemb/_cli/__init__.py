"""The command line: one file a command, and what commands share.

How a command is added (`count.py` is a short one to start from):

1. a file here, called as the command, with three names: ``HELP``, its line in ``fastemb --help``; ``add(parser)``,
   which gives an `argparse.ArgumentParser` its arguments; ``run(args)``, which returns the exit status. Its docstring
   is the text of ``fastemb COMMAND --help``. Nothing heavy is imported above functions: every file is, at every start;
2. its name in `parser.COMMANDS`, whose order is that of ``fastemb --help``.

Errors are raised, as ValueError or OSError with words that name the file and the row, and become one line and status 2
in `parser.main`. What commands share:

- `options`: arguments that several commands have (files, ``--field``, ``--model``, ``--threads``), and what they mean;
- `reading`: `reading.sources` says what files are, `reading.read` gives their documents in blocks of bounded size;
- `progress.Progress`: the rate and the time left, on a terminal alone;
- `resuming.Part`: an output that appears whole or not at all, and goes on where a run before was ended;
- `writing`: what vectors look like in files;
- `documents`: vectors of length one of the documents of files, and the line of each; `results`: how these are printed.
"""
