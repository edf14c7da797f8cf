"""Benchmarks: recipes, groups of runs, and three ways to run groups."""
