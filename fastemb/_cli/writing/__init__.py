"""Outputs: blocks computed by several threads, written in order, whole or not at all, and gone on with after an end."""
