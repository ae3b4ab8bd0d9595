"""Benchmarks of fastemb against what people use today; a package so that its files can import each other."""
