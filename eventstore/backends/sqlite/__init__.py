"""How the store uses SQLite."""
