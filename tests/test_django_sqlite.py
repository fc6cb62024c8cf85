"""What is peculiar to SQLite in a Django project: it has one writer at a time."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from eventstore import ANY, NO_STREAM, Append, DatabaseBusy, NewEvent
from eventstore.contrib.django import get_store

pytestmark = pytest.mark.usefixtures("django_sqlite")


def test_who_will_write_takes_the_lock_before_anything_is_read() -> None:
    get_store().stream_version("invoice-1")
    with CaptureQueriesContext(connection) as captured:
        get_store().append_many([Append("invoice-1", [NewEvent("invoiced")], expected_version=ANY)])
    begin, lock, *_ = [query["sql"] for query in captured]
    assert (begin, lock.partition(" ")[0]) == ("BEGIN", "UPDATE")


def test_where_another_writer_has_the_lock_the_error_says_so(django_sqlite: dict[str, Any]) -> None:
    with closing(sqlite3.connect(django_sqlite["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 1")
        with pytest.raises(DatabaseBusy):
            get_store().append("invoice-1", [NewEvent("invoiced")], expected_version=NO_STREAM)
        with transaction.atomic():
            assert apps.get_model("django_project", "Invoice").objects.count() == 0
            with pytest.raises(DatabaseBusy):
                get_store().append("invoice-1", [NewEvent("invoiced")], expected_version=NO_STREAM)
            assert apps.get_model("django_project", "Invoice").objects.count() == 0
        other.execute("ROLLBACK")
    other.close()
    assert get_store().append("invoice-1", [NewEvent("invoiced")], expected_version=NO_STREAM).version == 1
