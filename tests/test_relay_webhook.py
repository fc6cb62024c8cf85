"""Webhooks: what a receiver gets, and what it may answer. The receiver is a real one, on a socket."""

import hmac
import json
import logging
import pickle
import re
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from eventstore import NO_STREAM, EventStore, NewEvent, ProjectionFailed
from eventstore.errors import (
    DeliveryFailed,
    EventStoreError,
    InvalidInput,
    MessageRejected,
    TargetGone,
    TargetUnavailable,
)
from eventstore.projections import OnFailure, ProjectionAdmin, Worker
from eventstore.relay import Message, Relay, is_signed, sign, webhook
from eventstore.relay.webhooks import retry_after
from tests.webhook_receiver import CERTIFICATES, SECRET, Handler, Receiver, receiver

OLD_SECRET = "whsec_" + b64encode(b"o" * 32).decode()
PAYLOAD = "4242-4242"
MESSAGE = Message("placed", {"card": PAYLOAD}, id="message-1", source="urn:shop", subject="order-1", partitionkey="1")
TRUSTED = ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def target(server: Receiver, **options: Any) -> Any:
    return webhook(server.url, **{"secret": SECRET, "allow_http": True, **options})


def failure(server: Receiver, **options: Any) -> DeliveryFailed:
    """Send a message that is not taken; check that the error shows no secret and no payload, and return it."""
    send = target(server, **options)
    with pytest.raises(DeliveryFailed) as failed:
        send([MESSAGE])
    shown = f"{failed.value!r} {failed.value} {send!r} {vars(failed.value)}"
    assert not re.search(f"secret|whsec|{PAYLOAD}|{SECRET[6:]}", shown)
    assert failed.value.__cause__ is None
    assert failed.value.target == server.url.partition("/hooks")[0]
    return failed.value


# --- what is sent


def test_a_message_is_posted_as_a_cloud_event_and_signed(server: Receiver) -> None:
    target(server, headers={"Authorization": "Bearer 1"})([MESSAGE])
    ((headers, body),) = server.requests
    assert json.loads(body) == MESSAGE.to_dict()
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["Authorization"] == "Bearer 1"
    assert headers["webhook-id"] == "message-1"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert is_signed(SECRET, headers, body)
    assert not is_signed(OLD_SECRET, headers, body)
    assert not is_signed(SECRET, headers, body + b" ")
    assert not is_signed(SECRET, headers | {"webhook-id": "message-2"}, body)


def test_the_signature_is_that_of_the_standard() -> None:
    headers = sign(
        SECRET, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=b'{"test": 2432232314}'
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_a_secret_is_changed_there_is_a_signature_by_each(server: Receiver) -> None:
    target(server, secret=[SECRET, OLD_SECRET])([MESSAGE])
    ((headers, body),) = server.requests
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert is_signed(SECRET, headers, body)
    assert is_signed(OLD_SECRET, headers, body)
    assert is_signed([OLD_SECRET], {name.upper(): value for name, value in headers.items()}, body)


def test_what_is_no_signature() -> None:
    headers = sign(SECRET, message_id="1", timestamp=1000, body=b"body")
    assert is_signed(SECRET, headers, b"body", now=1300)
    assert not is_signed(SECRET, headers, b"body", now=1301)
    assert not is_signed(SECRET, headers, b"body", now=699)
    assert not is_signed(SECRET, headers, b"body")
    for name in headers:
        for wrong in ("", "x", "1e3", "v2,x", "v1"):
            assert not is_signed(SECRET, headers | {name: wrong}, b"body", now=1000)
        assert not is_signed(SECRET, {key: headers[key] for key in headers if key != name}, b"body", now=1000)
    signed_by_hand = b64encode(hmac.digest(b"o" * 32, b"1.1000.body", "sha256")).decode()
    assert is_signed(OLD_SECRET, headers | {"webhook-signature": f"v1a,x v1,{signed_by_hand}"}, b"body", now=1000)


def test_a_connection_is_used_for_many_messages(server: Receiver) -> None:
    send = target(server)
    for _ in range(5):
        send([MESSAGE])
    assert (len(server.requests), server.connections) == (5, 1)
    send.close()
    send([MESSAGE])
    assert server.connections == 2


def test_a_connection_that_the_server_has_closed_is_opened_again(server: Receiver) -> None:
    send = target(server)
    send([MESSAGE])
    server.close_connections()
    send([MESSAGE])
    assert (len(server.requests), server.connections) == (2, 2)


def test_a_long_response_does_no_harm(server: Receiver) -> None:
    server.usual = lambda handler: handler.reply(200, b"x" * 300_000)
    send = target(server)
    send([MESSAGE])
    send([MESSAGE])
    assert len(server.requests) == 2


def test_a_target_can_be_used_in_several_threads(server: Receiver) -> None:
    send = target(server)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: send([MESSAGE]), range(40)))
    assert len(server.requests) == 40
    assert server.connections <= 40


# --- what a receiver may answer


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((status, DeliveryFailed) for status in (301, 302, 307, 401, 404, 409, 500, 501)),
        *((status, MessageRejected) for status in (400, 413, 415, 422)),
        *((status, TargetUnavailable) for status in (429, 502, 503, 504)),
        (410, TargetGone),
    ],
)
def test_a_status_that_is_no_success(server: Receiver, status: int, error: type) -> None:
    server.usual = lambda handler: handler.reply(status, PAYLOAD.encode(), Location="/elsewhere")
    failed = failure(server)
    assert type(failed) is error
    assert failed.status == status
    assert len(server.requests) == 1, "redirects are not followed"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_status_that_is_a_success(server: Receiver, status: int) -> None:
    server.usual = lambda handler: handler.reply(status)
    target(server)([MESSAGE])


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_can_ask_to_wait(server: Receiver, status: int) -> None:
    server.usual = lambda handler: handler.reply(status, Retry_After="120")
    failed = failure(server)
    assert isinstance(failed, TargetUnavailable)
    assert failed.retry_after_seconds == 120
    assert pickle.loads(pickle.dumps(failed)).retry_after_seconds == 120  # noqa: S301  # our own


def test_retry_after_has_seconds_or_a_date() -> None:
    now = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
    cases = {
        None: None, "120": 120.0, " 7 ": 7.0, "0": 0.0, "Mon, 30 Nov 2026 12:01:30 GMT": 90.0,
        "Mon, 30 Nov 2026 11:00:00 GMT": 0.0, "Monday, 30-Nov-26 12:00:10 GMT": 10.0, "Mon Nov 30 12:00:05 2026": 5.0,
        "soon": None, "-5": None, "1.5": None, "": None, "99999999999999999999": None, "Mon, 99 Nov 2026": None,
    }  # fmt: skip
    assert {header: retry_after(header, clock=lambda: now) for header in cases} == cases


def hang(handler: Handler) -> None:
    handler.server.ending.wait(30)


def dribble(handler: Handler) -> None:
    """Send a response that never comes to an end, with less than a timeout between two bytes."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        if handler.server.ending.wait(0.05):
            return


@pytest.mark.slow
@pytest.mark.parametrize("answer", [hang, dribble])
@pytest.mark.parametrize("is_kept", [False, True])
def test_a_receiver_that_does_not_answer_in_time(server: Receiver, answer: Any, is_kept: bool) -> None:
    send = target(server, timeout_seconds=0.4)
    if is_kept:
        send([MESSAGE])
    server.usual = answer
    before = time.monotonic()
    with pytest.raises(TargetUnavailable, match=r"no response within 0\.4 seconds"):
        send([MESSAGE])
    assert time.monotonic() - before < 10, "it has waited for something else than the timeout"
    server.usual = lambda handler: handler.reply(204)
    send._client._timeout = 60.0
    send([MESSAGE])


@pytest.mark.slow
def test_a_receiver_that_accepts_and_says_nothing() -> None:
    """No thread ever accepts the connection: the kernel does."""
    import socket  # noqa: PLC0415  # only here

    with socket.create_server(("127.0.0.1", 0)) as listening:
        send = webhook(f"http://127.0.0.1:{listening.getsockname()[1]}/", SECRET, allow_http=True, timeout_seconds=0.3)
        with pytest.raises(TargetUnavailable, match="no response within"):
            send([MESSAGE])
        tls = webhook(f"https://127.0.0.1:{listening.getsockname()[1]}/", SECRET, timeout_seconds=0.3)
        with pytest.raises(TargetUnavailable, match="no response within"):
            tls([MESSAGE])
    with pytest.raises(TargetUnavailable, match="it refuses connections"):
        send([MESSAGE])


def test_a_receiver_that_is_slow_but_in_time(server: Receiver) -> None:
    def slow(handler: Handler) -> None:
        time.sleep(0.3)
        handler.reply(204)

    server.usual = slow
    target(server)([MESSAGE])


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_a_receiver_that_does_not_speak_http(server: Receiver, answer: bytes) -> None:
    def say(handler: Handler) -> None:
        handler.wfile.write(answer)
        handler.close_connection = True

    server.usual = say
    assert "the connection has failed" in failure(server).problem


def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(TargetUnavailable, match="can't be resolved"):
        webhook("https://eventstore.invalid/", SECRET)([MESSAGE])


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://[2001:db8::25]/hooks", ("2001:db8::25", 80)),
        ("https://[2001:db8::cafe]/hooks", ("2001:db8::cafe", 443)),
        ("https://[::1]:8443/hooks", ("::1", 8443)),
    ],
)
def test_an_ipv6_address_may_have_no_port(url: str, address: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []

    def refuse(to: Any, *_: Any) -> None:
        called.append(to)
        raise ConnectionRefusedError

    monkeypatch.setattr("socket.create_connection", refuse)
    with pytest.raises(TargetUnavailable, match="refuses connections"):
        webhook(url, SECRET, allow_http=True)([MESSAGE])
    assert called == [address]


# --- TLS


def test_a_certificate_of_a_known_authority() -> None:
    with receiver("valid") as server:
        target(server, ssl_context=TRUSTED)([MESSAGE])
        assert server.messages == [MESSAGE.to_dict()]


@pytest.mark.parametrize(
    ("certificate", "options", "problem"),
    [
        ("expired", {"ssl_context": TRUSTED}, "its certificate is not valid: certificate has expired"),
        ("other_host", {"ssl_context": TRUSTED}, "its certificate is not valid: .*IP address mismatch"),
        ("valid", {}, "its certificate is not valid: unable to get local issuer"),
    ],
)
def test_a_certificate_that_is_not_valid(certificate: str, options: Any, problem: str) -> None:
    with receiver(certificate) as server:
        failed = failure(server, **options)
        assert isinstance(failed, TargetUnavailable)
        assert re.search(problem, failed.problem)
        assert server.requests == []


def test_a_context_must_verify() -> None:
    careless = ssl.create_default_context()
    careless.check_hostname = False
    with pytest.raises(InvalidInput, match="must verify certificates and host names"):
        webhook("https://shop.example/", SECRET, ssl_context=careless)
    careless.verify_mode = ssl.CERT_NONE
    with pytest.raises(InvalidInput, match="must verify certificates and host names"):
        webhook("https://shop.example/", SECRET, ssl_context=careless)


# --- as the target of a relay


def place(store: EventStore, number: int = 1) -> None:
    for each in range(number):
        store.append(f"order-{each + 1}", [NewEvent("placed", {"card": PAYLOAD})], expected_version=NO_STREAM)


@pytest.mark.slow
def test_a_relay_waits_for_a_receiver_and_then_sends_in_order(
    server: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that answers 429, with and without a time, 503, 500, nothing; and then as it should."""
    caplog.set_level(logging.INFO)
    pauses: list[float] = []
    monkeypatch.setattr(Worker, "_back_off", lambda _, seconds: pauses.append(seconds))
    server.answers += [
        lambda handler: handler.reply(429, Retry_After="30"),
        lambda handler: handler.reply(429),
        lambda handler: handler.reply(503, Retry_After="40"),
        lambda handler: handler.reply(500),
        hang,
        lambda handler: handler.reply(204),
        lambda handler: handler.reply(503),
    ]
    with EventStore.in_memory() as store:
        place(store, 3)
        Relay(store, "out", to=target(server, timeout_seconds=1), attempts=2).run_until_caught_up()
    assert [message["subject"] for message in server.messages] == [
        *["order-1"] * 6, *["order-2"] * 2, "order-3",
    ]  # fmt: skip
    assert len({message["id"] for message in server.messages}) == 3
    assert len(pauses) == 6
    assert 30 <= pauses[0] <= 33
    assert 40 <= pauses[2] <= 44
    assert "has answered with status 429" in caplog.text
    assert "takes messages again" in caplog.text
    assert not re.search(f"secret|whsec|{PAYLOAD}|{SECRET[6:]}", caplog.text)


def test_a_receiver_that_is_gone_gets_nothing_any_more(server: Receiver) -> None:
    server.usual = lambda handler: handler.reply(410)
    with EventStore.in_memory() as store:
        place(store, 2)
        send = target(server)
        for _ in range(3):
            with pytest.raises(ProjectionFailed, match="TargetGone"):
                Relay(store, "out", to=send, on_failure=OnFailure.DEAD_LETTER).run_until_caught_up()
    assert len(server.requests) == 1


def test_one_event_at_a_time_is_sent(server: Receiver) -> None:
    positions: list[int] = []
    with EventStore.in_memory() as store:
        place(store, 3)

        def note(handler: Handler) -> None:
            positions.append(len(server.requests))
            handler.reply(204)

        server.usual = note
        Relay(store, "out", to=target(server)).run_once()
        assert ProjectionAdmin(store).position("out") == 1
    assert positions == [1]


def test_an_id_that_can_not_be_signed_fails_the_event(server: Receiver) -> None:
    with EventStore.in_memory() as store:
        place(store)
        publish = lambda _: Message("a", id="with.a.stop")  # noqa: E731  # short
        with pytest.raises(ProjectionFailed) as failed:
            Relay(store, "out", to=target(server), publish=publish, attempts=1).run_until_caught_up()
    assert isinstance(failed.value.__cause__, InvalidInput)
    assert server.requests == []


# --- bad input


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"url": 7}, "url must be a string"),
        ({"url": "https://shop.example/a b"}, "visible ASCII"),
        ({"url": "https://größe.example/"}, "visible ASCII"),
        ({"url": "https://"}, "must have a host"),
        ({"url": "https://shop.example:99999/"}, "must have a host"),
        ({"url": "https://[::1/"}, "must have a host"),
        ({"url": "shop.example/hooks"}, "must have a host"),
        ({"url": "http://shop.example/"}, "allow_http=True"),
        ({"url": "ftp://shop.example/", "allow_http": True}, "must begin with https://"),
        ({"url": "https://me:hush@shop.example/"}, "no user and no password"),
        ({"url": "https://shop.example/#part"}, "no fragment"),
        ({"secret": ""}, "a secret must be whsec_"),
        ({"secret": "hush"}, "a secret must be whsec_"),
        ({"secret": "whsec_!"}, "a secret must be whsec_"),
        ({"secret": "whsec_" + b64encode(b"hush" * 4).decode()}, "24 to 64 bytes"),
        ({"secret": "whsec_" + b64encode(b"hush" * 20).decode()}, "24 to 64 bytes"),
        ({"secret": []}, "secret must be a string, or a list"),
        ({"secret": b"hush"}, "secret must be a string, or a list"),
        ({"secret": None}, "secret must be a string, or a list"),
        ({"secret": [SECRET, 7]}, "a secret must be whsec_"),
        ({"timeout_seconds": 0}, "timeout_seconds must be between"),
        ({"timeout_seconds": "20"}, "timeout_seconds must be a number"),
        ({"headers": ["a"]}, "headers must be a mapping"),
        ({"headers": {"a b": "hush"}}, "a name in headers is not one"),
        ({"headers": {"X-Key": "hush\r\nX: y"}}, "must be a string of ASCII characters in one line"),
        ({"headers": {"Webhook-Id": "hush"}}, "headers must not have 'Webhook-Id'"),
        ({"ssl_context": True}, "ssl_context must be an ssl.SSLContext"),
        ({"allow_http": 1}, "allow_http must be True or False"),
    ],
)
def test_bad_input(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem) as refused:
        webhook(**{"url": "https://shop.example/hush", "secret": SECRET, **arguments})
    assert not re.search(f"hush|aHVza|{SECRET[6:]}", str(refused.value))


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "a\n", "ä", 7])
def test_an_id_that_is_none(message_id: Any) -> None:
    with pytest.raises(InvalidInput, match="no full stop"):
        sign(SECRET, message_id=message_id, timestamp=1, body=b"")


def test_errors_of_delivery_are_errors_of_the_package() -> None:
    assert issubclass(DeliveryFailed, EventStoreError)
    assert threading.active_count() < 50
