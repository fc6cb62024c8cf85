"""Lists in the admin that cost the same however many rows there are, and say what they leave out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.paginator import Paginator
from django.db import OperationalError, connections, transaction
from django.urls import NoReverseMatch, reverse
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.http import urlencode

COUNTED_AT_MOST: Final = 10_000
"""How many rows a list counts and pages through. Counting millions, or skipping them, would take seconds."""

SECONDS_AT_MOST: Final = 5
"""How long the queries of a list may take (PostgreSQL). Some searches have no index."""

_QUERY_CANCELED: Final = "57014"


def counted(number: int) -> str:
    """Return a number that was counted up to one more than the limit, as text."""
    limit = number_format(COUNTED_AT_MOST, force_grouping=True)
    return f"more than {limit}" if number > COUNTED_AT_MOST else number_format(number, force_grouping=True)


@contextmanager
def time_limit(using: str) -> Iterator[None]:
    """Let each query take `SECONDS_AT_MOST`, or less if the connection has a lower limit (PostgreSQL).

    Raises:
        OperationalError: A query took longer; see `was_stopped`.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(using=using), connection.cursor() as cursor:
        cursor.execute(
            "SELECT setting, setting::int BETWEEN 1 AND %s FROM pg_settings WHERE name = 'statement_timeout'",
            [SECONDS_AT_MOST * 1000],
        )
        before, is_lower = cursor.fetchone()
        if not is_lower:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{SECONDS_AT_MOST * 1000:.0f}"])
        yield
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])


def was_stopped(error: OperationalError) -> bool:
    """Return whether the time limit has stopped a query."""
    return getattr(error.__cause__, "sqlstate", None) == _QUERY_CANCELED


class BoundedPaginator(Paginator):
    """Counts rows up to a limit, and has pages up to there."""

    @cached_property
    def _first(self) -> list[Any]:
        """The rows of the first page, and one more if there are more: then a search that finds few is sent once."""
        return list(self.object_list[: self.per_page + 1])

    @cached_property
    def counted(self) -> int:
        """The number of rows, at most one more than the limit."""
        if len(self._first) <= self.per_page:
            return len(self._first)
        number: int = self.object_list[: COUNTED_AT_MOST + 1].count()  # in the list's order, which has an index
        return number

    @cached_property
    def count(self) -> int:
        """The number of rows that there are pages for."""
        number: int = min(self.counted, COUNTED_AT_MOST)
        return number

    def page(self, number: Any) -> Any:
        """Return a page."""
        if self.validate_number(number) == 1:
            return self._get_page(self._first[: self.per_page], 1, self)
        return super().page(number)


class BoundedChangeList(ChangeList):
    """A list that is read within the time limit, and goes on after its last row without skipping rows.

    Attributes:
        is_stopped: Whether the time limit has stopped the search.
        summary: Which rows are shown, of how many.
        first_url: The address of the first page of the whole list; None on that page.
        previous_url: The address of the previous page; None if there is none.
        next_url: The address of the next page; None if there is none. After the last page, it begins another list.
    """

    queryset: Any
    result_list: Any
    page_num: int
    result_count: int
    is_stopped = False
    summary = ""
    first_url: str | None = None
    previous_url: str | None = None
    next_url: str | None = None

    def get_results(self, request: Any) -> None:
        """Read the page, and count the rows."""
        try:
            with time_limit(self.queryset.db):
                self._read_page(request)
                self._link(request, self.paginator.counted)
        except OperationalError as error:
            if not was_stopped(error):
                raise
            self.queryset = self.queryset.none()
            super().get_results(request)
            self.is_stopped, self.summary = True, ""
            text = (
                f"The search has been stopped after {SECONDS_AT_MOST} seconds, because no index leads to what it looks "
                "for. Search for a stream as well, or add an index."
            )
            messages.warning(request, text)
        self.full_result_count = self.result_count  # then Django's search box shows neither; the summary does

    def _read_page(self, request: Any) -> None:
        try:
            super().get_results(request)
            is_there = self.multi_page or self.page_num == 1
        except IncorrectLookupParameters:
            is_there = False
        if not is_there:
            messages.warning(request, f"There is no page {self.page_num}; this is the first one.")
            self.page_num = 1
            super().get_results(request)
        rows = self.result_list if self.multi_page else self.paginator.page(1).object_list
        self.result_list = list(rows)  # now, within the time limit

    def descends(self, request: Any) -> bool:
        """Return whether the list goes from the largest key to the smallest."""
        return bool(self.get_ordering(request, self.root_queryset)[0].startswith("-"))

    def _link(self, request: Any, number: int) -> None:
        """Set the addresses of other pages, and the summary."""
        key = self.model_admin.paged_by
        begins_later = [f"{key}__lt", f"{key}__gt"]
        is_whole = self.show_all and self.can_show_all
        shown, skipped = len(self.result_list), 0 if is_whole else (self.page_num - 1) * self.list_per_page
        if skipped or any(name in self.params for name in begins_later):
            self.first_url = self.get_query_string({PAGE_VAR: None, **dict.fromkeys(begins_later)})
        if skipped:
            self.previous_url = self.get_query_string({PAGE_VAR: self.page_num - 1})
        if skipped + shown < min(number, COUNTED_AT_MOST):
            self.next_url = self.get_query_string({PAGE_VAR: self.page_num + 1})
        elif number > COUNTED_AT_MOST:
            direction = "lt" if self.descends(request) else "gt"
            last = {f"{key}__{direction}": getattr(self.result_list[-1], key)}
            self.next_url = self.get_query_string({PAGE_VAR: None, **dict.fromkeys(begins_later), **last})
        rows = self.opts.verbose_name if number == 1 else self.opts.verbose_name_plural
        span = f"{skipped + 1:,}–{skipped + shown:,} of " if shown < number else ""  # noqa: RUF001  # from … to
        self.summary = f"{span}{counted(number)} {rows}"


class NamesFilter(admin.SimpleListFilter):
    """Offers the values of the first column of an index, found one after the other without reading the table."""

    title: str
    shown_at_most: Final = 50

    def lookups(self, _request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """Return the names, in order."""
        names = self._names(model_admin.model)
        if len(names) > self.shown_at_most:
            self.title = f"{self.title} (the first {self.shown_at_most})"
        return [(name, name) for name in names[: self.shown_at_most]]

    def _names(self, model: Any) -> list[str]:
        connection = connections[model.objects.db]
        column, table = connection.ops.quote_name(self.parameter_name), connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001  # Django's own API
        following = f"(SELECT min({column}) FROM {table} WHERE {column} > names.name)"
        with connection.cursor() as cursor:
            cursor.execute(
                f"WITH RECURSIVE names(name) AS (SELECT min({column}) FROM {table} UNION ALL "
                f"SELECT {following} FROM names WHERE names.name IS NOT NULL) "
                f"SELECT name FROM names WHERE name IS NOT NULL LIMIT {self.shown_at_most + 1}"
            )
            return [name for (name,) in cursor.fetchall()]

    def queryset(self, _request: Any, queryset: Any) -> Any:
        """Return the rows with the chosen name."""
        return queryset if self.value() is None else queryset.filter(**{self.parameter_name: self.value()})


def browser_url(page: str, **parameters: object) -> str | None:
    """Return the address of a page of the browser of streams; None if the project has not mounted it.

    Args:
        page: The path of the page without a slash before it, such as `stream`.
        parameters: The parameters of the page.
    """
    try:
        url = reverse("eventstore_browser:page", args=[page])
    except NoReverseMatch:
        return None
    return f"{url}?{urlencode(parameters)}" if parameters else str(url)


class GivenFilter(admin.SimpleListFilter):
    """A filter that links set. It is shown, so that it can be seen and cleared, only when it is set."""

    def lookups(self, _request: Any, _model_admin: Any) -> list[tuple[str, str]]:
        """Return the value that is set."""
        return [] if self.value() is None else [(self.value(), self.value())]

    def queryset(self, _request: Any, queryset: Any) -> Any:
        """Return the rows with the value."""
        return queryset if self.value() is None else queryset.filter(**{self.parameter_name: self.value()})


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows to users with the permission to view them."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = getattr(getattr(admin, "ShowFacets", None), "NEVER", None)  # they would count all rows
    list_per_page = 50
    actions = None
    change_list_template = "admin/eventstore/change_list.html"

    class Media:
        """The files of the pages: a style sheet of ours, besides Django's."""

        css: Final = {"all": ["eventstore/admin.css"]}

    paged_by: str
    """The field that a list is continued by, in whose order it is."""

    def get_changelist(self, _request: Any, **_: Any) -> type[ChangeList]:
        """Return the class of the list."""
        return BoundedChangeList

    def has_add_permission(self, *_: Any) -> bool:
        """Rows are added by appends only."""
        return False

    def has_change_permission(self, *_: Any) -> bool:
        """Rows are read-only."""
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        """Rows are not deleted here."""
        return False
