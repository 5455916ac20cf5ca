"""Coverage-guided fuzzing, one module of `harnesses` for each surface that strangers can reach.

A harness is a function `run(data)` that plays an input and asserts the invariant in the module's first line.
It imports without atheris, so the tests run every harness over its saved corpus (`tests/test_fuzz.py`).

    python -m fuzz NAME [libFuzzer options]     fuzz one harness, beginning with its saved corpus
    python -m fuzz NAME --save                  fold what that found into the saved corpus, minimised
    make fuzz FUZZ_TIME=600                     fuzz each for ten minutes

Both need `PYTHONPATH=tests`, since a harness plays on the simulation of the tests.

An input that breaks an invariant is left in `build/fuzz/NAME.crashes`; it becomes a test of the layer that
broke. Harnesses bound work and memory for each byte of input: see `support` for how they are measured.
"""
