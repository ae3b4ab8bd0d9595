"""Texts on a map: their vectors, two axes, colours and clusters, and the page that shows it all."""
