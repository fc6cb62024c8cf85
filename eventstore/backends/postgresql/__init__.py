"""How the store uses PostgreSQL."""
