"""The dead letters of a projection in the admin: a list, and pages that ask before they are retried or discarded.

They are views of their own, because the admin does not take models with a key of several columns.
"""

from collections.abc import Callable
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, connections, transaction
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_http_methods

from eventstore.contrib.django import configuration
from eventstore.contrib.django.admin.lists import COUNTED_AT_MOST, counted, time_limit, was_stopped
from eventstore.contrib.django.models import Checkpoint, DeadLetter
from eventstore.contrib.django.store import get_store
from eventstore.errors import EventStoreError, ProjectionFailed, ProjectionRunning
from eventstore.projections import ProjectionAdmin
from eventstore.projections.dead_letters import DeadLetterStatus

_PAGE: Final = 50
_LIST: Final = "eventstore_deadletter_changelist"
_RETRY: Final = "eventstore_deadletter_retry"
_DISCARD: Final = "eventstore_deadletter_discard"


class DeadLetterViews:
    """Adds the pages of dead letters to the admin of checkpoints."""

    admin_site: Any
    opts: Any
    log_change: Callable[[Any, Any, Any], object]

    def get_urls(self) -> list[Any]:
        """Return the addresses, those of dead letters before those of checkpoints."""
        pages = (
            ("", _LIST, require_GET(self.dead_letters_view)),
            ("<int:position>/retry/", _RETRY, require_http_methods(["GET", "POST"])(self.retry_view)),
            ("<int:position>/discard/", _DISCARD, require_http_methods(["GET", "POST"])(self.discard_view)),
        )
        ours = [
            path(f"<path:name>/dead-letters/{rest}", self.admin_site.admin_view(_not_atomic(view)), name=name)
            for rest, name, view in pages
        ]
        return [*ours, *super().get_urls()]  # type: ignore[misc]  # of ModelAdmin

    def url_of_dead_letters(self, name: str, **parameters: Any) -> str:
        """Return the address of a projection's dead letters."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return f"{reverse(f'admin:{_LIST}', args=[quote(name)], current_app=self.admin_site.name)}{query}"

    def dead_letters_view(self, request: Any, name: str) -> Any:
        """Show a page of the dead letters with a status, in order of position."""
        _require(request, "view")
        checkpoint = _checkpoint(name)
        status = request.GET.get("status", DeadLetterStatus.PENDING.value)
        after = request.GET.get("after", "0")
        if status not in {each.value for each in DeadLetterStatus} or not after.isdecimal():
            raise Http404
        letters, number, is_stopped = [], 0, False
        found = DeadLetter.objects.filter(projection_id=checkpoint.pk, status=status, position__gt=int(after))
        try:
            with time_limit(found.db):
                letters = list(found.order_by("position")[: _PAGE + 1])
                number = found[: COUNTED_AT_MOST + 1].count()
        except OperationalError as error:
            if not was_stopped(error):
                raise
            is_stopped = True
        next_url = None
        if len(letters) > _PAGE:
            letters = letters[:_PAGE]
            next_url = self.url_of_dead_letters(checkpoint.pk, status=status, after=letters[-1].position)
        return self._page(
            request,
            "dead_letters",
            checkpoint,
            title=f"{status.capitalize()} dead letters of {checkpoint.pk}",
            letters=letters,
            is_stopped=is_stopped,
            is_pending=status == DeadLetterStatus.PENDING.value,
            summary=f"{counted(number)} {status}" + (f" after position {after}" if int(after) else ""),
            first_url=self.url_of_dead_letters(checkpoint.pk, status=status) if int(after) else None,
            next_url=next_url,
            other_statuses=[
                (each.value, self.url_of_dead_letters(checkpoint.pk, status=each.value))
                for each in DeadLetterStatus
                if each.value != status
            ],
            may_retry=_may(request, "retry"),
            may_discard=_may(request, "discard"),
        )

    def retry_view(self, request: Any, name: str, position: int) -> Any:
        """Ask, and then retry all pending dead letters of the stream, in order."""
        _require(request, "view", "retry")
        checkpoint = _checkpoint(name)
        letter = _letter(checkpoint, position)
        projection = next((each for each in configuration.projections() if each.name == checkpoint.pk), None)
        if request.method == "POST" and letter is not None and projection is not None:
            self._retry(request, checkpoint, projection, letter.stream_id)
            return HttpResponseRedirect(self.url_of_dead_letters(checkpoint.pk))
        if letter is None:
            return self._no_longer(request, checkpoint, position)
        pending = DeadLetter.objects.filter(
            projection_id=checkpoint.pk, stream_id=letter.stream_id, status=DeadLetterStatus.PENDING.value
        )
        return self._page(
            request,
            "dead_letter_retry",
            checkpoint,
            title="Retry dead letters?",
            letter=letter,
            number=counted(pending[: COUNTED_AT_MOST + 1].count()),
            has_handlers=projection is not None,
        )

    def discard_view(self, request: Any, name: str, position: int) -> Any:
        """Ask, and then discard a pending dead letter."""
        _require(request, "view", "discard")
        checkpoint = _checkpoint(name)
        letter = _letter(checkpoint, position)
        if letter is None:
            return self._no_longer(request, checkpoint, position)
        if request.method == "POST":
            self._discard(request, checkpoint, position, request.POST.get("note", "").strip())
            return HttpResponseRedirect(self.url_of_dead_letters(checkpoint.pk))
        return self._page(request, "dead_letter_discard", checkpoint, title="Discard this dead letter?", letter=letter)

    def _retry(self, request: Any, checkpoint: Any, projection: Any, stream_id: str) -> None:
        try:
            resolved = _dead_letters(checkpoint).retry(projection, stream_id)
        except ProjectionFailed as failed:
            times = "once" if failed.attempts == 1 else f"{failed.attempts} times"
            text = (
                f"The event at position {failed.position} has failed {times} now, with {failed.error_type}. It waits, "
                "and so do those after it; those before it are resolved."
            )
            messages.error(request, text)
            self.log_change(request, checkpoint, f"Retried dead letters of stream {stream_id!r}: {failed.error_type}")
        except ProjectionRunning:
            messages.warning(request, "A worker is in the midst of a batch. Nothing was retried; try again.")
        except EventStoreError as error:
            messages.error(request, str(error))
        else:
            self.log_change(request, checkpoint, f"Retried dead letters of stream {stream_id!r}: {resolved} resolved")
            messages.success(request, f"{resolved} dead letters of stream {stream_id} are resolved.")

    def _discard(self, request: Any, checkpoint: Any, position: int, note: str) -> None:
        try:
            is_done = _dead_letters(checkpoint).discard(checkpoint.pk, position, note=note or None)
        except EventStoreError as error:
            messages.error(request, str(error))
            return
        if is_done:
            self.log_change(request, checkpoint, f"Discarded the dead letter at position {position}")
            messages.success(request, f"The dead letter at position {position} is discarded.")
        else:
            messages.warning(request, f"The dead letter at position {position} is no longer pending.")

    def _no_longer(self, request: Any, checkpoint: Any, position: int) -> Any:
        messages.warning(request, f"There is no pending dead letter at position {position} any more.")
        return HttpResponseRedirect(self.url_of_dead_letters(checkpoint.pk))

    def _page(self, request: Any, template: str, checkpoint: Any, **values: Any) -> Any:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "checkpoint": checkpoint,
            "quoted_name": quote(checkpoint.pk),
            "checkpoint_url": reverse(
                "admin:eventstore_checkpoint_change", args=[quote(checkpoint.pk)], current_app=self.admin_site.name
            ),
            "dead_letters_url": self.url_of_dead_letters(checkpoint.pk),
            **values,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"admin/eventstore/{template}.html", context)


def _not_atomic(view: Any) -> Any:
    """Return a view that `ATOMIC_REQUESTS` leaves alone: each event that is retried is a transaction of its own."""
    for using in connections:
        view = transaction.non_atomic_requests(using=using)(view)
    return view


def _may(request: Any, action: str) -> bool:
    return bool(request.user.has_perm(f"eventstore.{action}_deadletter"))


def _require(request: Any, *actions: str) -> None:
    if not all(_may(request, action) for action in actions):
        raise PermissionDenied


def _checkpoint(name: str) -> Any:
    checkpoint = Checkpoint.objects.filter(pk=unquote(name)).first()
    if checkpoint is None:
        raise Http404
    return checkpoint


def _letter(checkpoint: Any, position: int) -> Any:
    """Return the pending dead letter at a position; None if there is none."""
    of_projection = {"projection_id": checkpoint.pk, "status": DeadLetterStatus.PENDING.value}
    return DeadLetter.objects.filter(**of_projection, position=position).first()


def _dead_letters(checkpoint: Any) -> Any:
    return ProjectionAdmin(get_store(checkpoint._state.db)).dead_letters  # noqa: SLF001  # which database it is from
