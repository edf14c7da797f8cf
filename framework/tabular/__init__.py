"""Finite Markov decision processes, where everything is known exactly."""
