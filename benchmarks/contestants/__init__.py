"""One file for each contestant; what they have in common is in `benchmarks.contestant`."""
