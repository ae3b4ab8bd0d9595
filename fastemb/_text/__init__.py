"""Text to token ids and back: the readers of vocabulary files, encoding, decoding, and the binding of the C core."""
