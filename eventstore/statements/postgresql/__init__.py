"""Statements that only PostgreSQL is sent."""
