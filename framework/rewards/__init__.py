"""Rewards as functions of physics: quantities, typed formulas, and labels made from both."""
