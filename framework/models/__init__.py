"""Models as files: folders, cards, digests, and where they travel."""
