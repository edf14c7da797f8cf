"""What a run believed on its way: written step by step, and read again."""
