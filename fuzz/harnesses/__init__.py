"""The harnesses; the first line of each names its invariant."""
