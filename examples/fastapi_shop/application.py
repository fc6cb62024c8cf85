"""The application: its database, its API, and what each event says of its request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse

from eventstore import AggregateNotFound
from eventstore.correlation import metadata_context
from fastapi_shop.api import api
from fastapi_shop.database import Database, configured_url
from fastapi_shop.order import Refused

REQUEST_ID = r"^[\w.:/+=@-]{1,128}$"


def create_app(url: str | None = None) -> FastAPI:
    """Return the application, on a database that is named by a URL, or by the environment.

    It connects when it is first used, so each process of uvicorn has connections of its own.
    """
    database = Database(url or configured_url())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with database.store:  # closes the pool in the end
            yield

    app = FastAPI(title="Shop", lifespan=lifespan, dependencies=[Depends(request_metadata)])
    app.state.database = database
    app.include_router(api)
    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(AggregateNotFound, not_found)
    return app


async def request_metadata(
    request: Request, x_request_id: Annotated[str | None, Header(pattern=REQUEST_ID)] = None
) -> AsyncIterator[None]:
    """Add the request's id, method and path to the metadata of what is appended during it."""
    with metadata_context(correlation_id=x_request_id or str(uuid4()), route=f"{request.method} {request.url.path}"):
        yield


def refused(_: Request, error: Exception) -> JSONResponse:
    """Say which rule speaks against it."""
    return JSONResponse({"detail": str(error)}, status_code=409)


def not_found(_: Request, __: Exception) -> JSONResponse:
    """Say that there is no such order."""
    return JSONResponse({"detail": "There is no such order."}, status_code=404)
