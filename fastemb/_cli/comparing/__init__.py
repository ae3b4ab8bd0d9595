"""Documents compared: their vectors, the nearest of them, an index, what is kept of duplicates, k-means."""
