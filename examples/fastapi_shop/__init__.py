"""A small shop in FastAPI: orders are aggregates, the table of orders is written in the same transaction.

It runs on a SQLite file in the current folder, or with DATABASE_URL=postgresql://user@host/database on PostgreSQL.
Create the tables, and start the API, and the worker of the projection, which is a process of its own:

    cd examples
    python -m fastapi_shop.commands create-tables
    uvicorn --factory fastapi_shop:create_app --timeout-graceful-shutdown 5
    python -m fastapi_shop.commands work
"""

from fastapi_shop.application import create_app

__all__ = ["create_app"]
