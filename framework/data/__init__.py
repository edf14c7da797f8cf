"""Transitions: gathered, stored, converted and drawn."""
