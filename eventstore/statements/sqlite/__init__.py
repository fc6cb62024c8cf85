"""Statements that only SQLite is sent."""
