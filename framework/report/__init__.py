"""Reports: run directories as one page that needs no network."""
