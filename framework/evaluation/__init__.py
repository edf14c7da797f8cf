"""Evaluation of agents and models: statistics, comparisons, benchmarks, diagnostics."""
