"""Regret over a pool of policies: bound, simulation and report."""
