"""Arithmetic that posteriors share, and what keeps an eye on their beliefs."""
