"""Clients who place and pay orders, and send again whatever was not answered."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Self
from urllib.parse import urlencode
from uuid import UUID

TIMEOUT_SECONDS = 60
REPEATED = 0.05
CUSTOMERS = 40
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Crowd:
    """Some clients, each in a thread, who share a number of orders among them.

    Args:
        port: Of the shop.
        orders: How many to place and pay.
        seed: What they order, and what is sent twice on purpose, follows from it.
        on_half: Called once, when half of the orders are paid.
    """

    port: int
    orders: int
    seed: int
    on_half: Callable[[], None]
    expected: dict[str, tuple[str, str, int, int]] = field(default_factory=dict)
    retries: int = 0
    repeated: int = 0
    errors: list[BaseException] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next: int = 0

    def run(self, clients: int) -> Self:
        """Let so many clients order until all orders are paid."""
        threads = [threading.Thread(target=self._order_and_pay) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]
        return self

    def _order_and_pay(self) -> None:
        client = _Client(self)
        try:
            while (number := self._take()) is not None:
                chance = random.Random(f"{self.seed}-{number}")
                order_id = str(UUID(int=chance.getrandbits(128)))
                customer, tea = f"customer {chance.randrange(CUSTOMERS)}", chance.randint(1, 9)
                client.post("/orders", chance, order_id=order_id, customer=customer, tea=str(tea))
                client.post(f"/orders/{order_id}/pay", chance)
                client.close()  # another worker may take the next one
                with self._lock:
                    self.expected[order_id] = (customer, "paid", 420 * tea, 2)
                    is_half = len(self.expected) == self.orders // 2
                if is_half:
                    self.on_half()
        except BaseException as error:  # noqa: BLE001  # raised by run
            self.errors.append(error)
        finally:
            client.close()

    def _take(self) -> int | None:
        with self._lock:
            if self._next == self.orders or self.errors:
                return None
            self._next += 1
            return self._next

    def count(self, name: str) -> None:
        """Count a retry, or what was repeated."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)


class _Client:
    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._connection = HTTPConnection("127.0.0.1", crowd.port, timeout=TIMEOUT_SECONDS)

    def post(self, path: str, chance: random.Random, **form: str) -> None:
        """Send it until there is an answer; sometimes once more, as an impatient person does."""
        is_repeated = chance.random() < REPEATED
        for _ in range(1 + is_repeated):
            status = self._answer(path, form)
            if status != 303:
                msg = f"{path} was answered by {status}"
                raise AssertionError(msg)
        if is_repeated:
            self._crowd.count("repeated")

    def _answer(self, path: str, form: dict[str, str]) -> int:
        while True:
            try:
                self._connection.request("POST", path, urlencode(form), _FORM)
                response = self._connection.getresponse()
                response.read()
            except (HTTPException, ConnectionError):  # its worker was killed, or had closed an idle connection
                self._connection.close()
                self._crowd.count("retries")
            else:
                return response.status

    def close(self) -> None:
        self._connection.close()
