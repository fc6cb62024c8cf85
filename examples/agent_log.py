"""An agent that keeps its conversations as events: it resumes after a crash, clients follow it, auditors read it.

Run it:                 python examples/agent_log.py
On PostgreSQL:          DATABASE_URL=postgresql://user@host/database python examples/agent_log.py

Without DATABASE_URL it writes to agent.db in the current folder. Run it as often as you like: every run is a
conversation of its own. The model and the tool are stand-ins, so it needs no network and no key.
"""

import os
from dataclasses import dataclass, replace
from uuid import uuid4

from sqlalchemy import Connection, text

from eventstore import (
    ConcurrencyConflict,
    EventFilter,
    EventStore,
    EventTypes,
    RecordedEvent,
    Repository,
    metadata_context,
    migrations,
)
from eventstore.projections import Projection, Worker

event_types = EventTypes()


# --- what can happen in a conversation


@event_types.register("user-asked")
@dataclass(frozen=True)
class UserAsked:
    """The user has sent a message."""

    message: str


@event_types.register("tool-called")
@dataclass(frozen=True)
class ToolCalled:
    """The model wants a tool to be run."""

    tool: str
    argument: str
    tokens: int


@event_types.register("tool-returned")
@dataclass(frozen=True)
class ToolReturned:
    """The tool has been run."""

    result: str


@event_types.register("model-answered")
@dataclass(frozen=True)
class ModelAnswered:
    """The model has answered; it is the user's turn."""

    message: str
    tokens: int


@dataclass(frozen=True)
class Conversation:
    """The state of a conversation, and so of its agent: everything that it needs to continue."""

    last: RecordedEvent | None = None
    turns: int = 0

    def after(self, event: RecordedEvent) -> "Conversation":
        """Return the conversation after one more event."""
        return replace(self, last=event, turns=self.turns + 1)


# --- the agent


class Killed(Exception):
    """Stands for a process that is killed."""


class Taxi:
    """A tool with an effect outside. It recognises a repeated call by its idempotency key, as good services do."""

    def __init__(self) -> None:
        self.booked: dict[str, str] = {}

    def __call__(self, destination: str, *, idempotency_key: str) -> str:
        """Book a taxi, once for each key."""
        return self.booked.setdefault(idempotency_key, f"taxi {len(self.booked) + 1} to {destination}")


def model(conversation: Conversation) -> ToolCalled | ModelAnswered:
    """Return the next step; it stands for a call of a language model."""
    match conversation.last:
        case RecordedEvent(data=ToolReturned(result)):
            return ModelAnswered(f"Booked: {result}.", tokens=42)
        case RecordedEvent(data=UserAsked(message)):
            return ToolCalled("book-taxi", message.rpartition(" ")[2], tokens=137)
        case other:
            msg = f"there is nothing to answer in {other}"
            raise ValueError(msg)


def work(conversations: Repository[Conversation], id: str, taxi: Taxi, *, killed_after_booking: bool = False) -> None:  # noqa: A002
    """Take the conversation as far as it goes, from wherever it is. Each step is appended before the next begins."""
    while True:
        loaded = conversations.load(id)
        last = loaded.state.last
        if last is None or isinstance(last.data, ModelAnswered):
            return
        if isinstance(last.data, ToolCalled):
            # The call is stored, its result is not: another process may have made it, so it has the same key each time.
            result = taxi(last.data.argument, idempotency_key=str(last.event_id))
            if killed_after_booking:
                raise Killed
            conversations.save(loaded, [ToolReturned(result)])
        else:
            conversations.save(loaded, [model(loaded.state)])


# --- what others make of it

costs = Projection("agent-costs", EventFilter(categories=["conversation"]))


@costs.on(ToolCalled, ModelAnswered)
def add_tokens(event: RecordedEvent, connection: Connection) -> None:
    """Count the tokens of each user."""
    upsert = """
        INSERT INTO agent_costs VALUES (:user_name, :tokens)
        ON CONFLICT (user_name) DO UPDATE SET tokens = agent_costs.tokens + excluded.tokens
    """
    connection.execute(text(upsert), {"user_name": event.metadata["user"], "tokens": event.data.tokens})


def follow(store: EventStore, stream_id: str, last_seen: int) -> int:
    """Print what a client has not seen yet; return the version that it sends when it connects again."""
    for event in store.read_stream(stream_id, after_version=last_seen):
        print(f"  {event.version}  {event.event_type:15} {event.data}")
        last_seen = event.version
    return last_seen


def main() -> None:
    """Hold one conversation, with a crash in it."""
    url = os.environ.get("DATABASE_URL", "sqlite:///agent.db")
    with EventStore.from_url(url, event_types=event_types) as store:
        migrations.upgrade(store.engine)  # a deployment step in a real application
        with store.engine.begin() as connection:
            connection.execute(
                text("CREATE TABLE IF NOT EXISTS agent_costs (user_name VARCHAR(80) PRIMARY KEY, tokens INTEGER)")
            )
        conversations = Repository(store, category="conversation", initial=Conversation, evolve=Conversation.after)
        talk(store, conversations)


def talk(store: EventStore, conversations: Repository[Conversation]) -> None:
    """Show the four parts."""
    id, taxi = uuid4().hex[:6], Taxi()  # noqa: A001
    stream_id = conversations.stream_id(id)
    with metadata_context(user="ada", agent="travel-2.1", correlation_id=id):
        print(f"\n1  A conversation is a stream: {stream_id}\n")
        conversations.execute(id, lambda _: [UserAsked("Please get me to Paddington")])
        try:
            work(conversations, id, taxi, killed_after_booking=True)
        except Killed:
            print("  the agent was killed after it had booked, before it could store that")
        seen = follow(store, stream_id, last_seen=0)

        print("\n2  Another process resumes: it loads the stream, and repeats the step that has no result\n")
        work(conversations, id, taxi)
        print(f"  taxis booked: {len(taxi.booked)}")

        print(f"\n3  A client connects again and has seen version {seen}\n")
        follow(store, stream_id, last_seen=seen)

        print("\n4  Two agents, one conversation: one wins\n")
        conversations.execute(id, lambda _: [UserAsked("And now to Euston")])
        one, other = conversations.load(id), conversations.load(id)
        conversations.save(one, [model(one.state)])
        try:
            conversations.save(other, [model(other.state)])
        except ConcurrencyConflict as conflict:
            print(f"  refused: the other agent expected version {conflict.expected}, it is {conflict.actual}")
        work(conversations, id, taxi)

    print("\n5  The audit: who did what, and what it cost\n")
    for event in store.read_stream(stream_id, limit=2):
        print(f"  {event.recorded_at:%Y-%m-%d} {event.metadata['user']} {event.metadata['agent']} {event.event_type}")
    with Worker(store, costs) as worker:
        handled = worker.run_until_caught_up()
    with store.engine.connect() as connection:
        tokens = connection.execute(text("SELECT tokens FROM agent_costs WHERE user_name = 'ada'")).scalar_one()
    print(f"  {handled} events counted: {tokens} tokens for ada so far")


if __name__ == "__main__":
    main()
