"""The commands, a file each, called as the command; `fastemb._cli` says what a file has, and what commands share."""
