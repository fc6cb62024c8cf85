"""Migrations of the read models."""
