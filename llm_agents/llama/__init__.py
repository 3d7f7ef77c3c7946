"""Decoder-only transformers of the Llama architecture, in JAX: read, run, sample, score.

``config``, ``files`` and ``text`` load no JAX; the other modules do.
"""
