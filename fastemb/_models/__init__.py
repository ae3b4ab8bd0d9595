"""Folders of static models, one maker a file."""
