"""One migration for each of our Alembic revisions; what a revision does is in eventstore/migrations/versions."""
