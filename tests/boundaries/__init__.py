"""Tests of consistency boundaries on PostgreSQL."""
