"""Contestants, one module each; their shared command line is in `benchmarks.contestant`."""
