"""Models as files: folders, cards, digests and the hub."""
