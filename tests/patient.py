"""A client that asks again after the machine stood still: the guard and PostgreSQL's own limits refuse then, and rightly."""

from typing import Any

import httpx

from app.clock import monotonic

STOOD_STILL = 0.4  # seconds that no request takes by itself
TRIES = 4


class Patient(httpx.ASGITransport):
    """The app's own answer, while `patient` asked for again where it is a 503 that took long, as clients do. What is refused
    quicker than that is not asked for again."""

    def __init__(self, app: Any, **more: Any) -> None:
        super().__init__(app, **more)
        self.patient = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request, as often as it takes; a body that can be sent only once is sent once."""
        again = TRIES if self.patient and isinstance(request.stream, httpx.ByteStream) else 1
        for _ in range(again):
            began = monotonic()
            answer = await super().handle_async_request(request)
            if answer.status_code != 503 or monotonic() - began < STOOD_STILL:
                break
        return answer


def client_of(app: Any) -> httpx.AsyncClient:
    """A patient client of an app in this process."""
    return httpx.AsyncClient(transport=Patient(app), base_url="http://missedbeat.test")
