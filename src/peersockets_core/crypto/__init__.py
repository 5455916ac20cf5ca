"""Cryptography: Noise handshakes, and the few functions of libsodium that PyNaCl does not offer.

`sodium` wraps the functions, `bindings` is their generated declaration, and `noise` is the framework of all
handshakes.
"""
