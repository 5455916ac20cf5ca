"""Benchmarks: this package beside the JavaScript original, in one run; only ratios count."""
