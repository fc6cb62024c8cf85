"""A browser of streams: pages to look at what a store has."""
