"""Letters that pages send: how many, with which link, and the pages before and after one. Whether an address has an account is
told to whoever reads its mail, and to nobody else."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from urllib.parse import urlencode

from fastapi import Request, Response

from app.domain.attempt import LETTER_ACCOUNT, LETTER_ADDRESS, network_of
from app.domain.letter import Asked, LetterKind, compose
from app.errors import Forbidden, TooMany
from app.manage.pages import cookie
from app.manage.pages.entry import Asking
from app.manage.pages.frame import render
from app.store import attempts, blackouts, letters, links
from app.store.links import Link
from app.web import Session, Shared

TOLD_FOR = timedelta(days=1)  # how long a letter that only tells of something is of use
TOO_MANY_LETTERS = "too many letters were asked for"
NO_MAIL = "this service sends no mail yet: whoever runs it makes accounts, and links to sign in, on its command line"


def need_mail(house: Shared) -> None:
    """Raises Forbidden where no mail server is set."""
    if not house.sends_mail:
        raise Forbidden(NO_MAIL)


async def count_letter(session: Session, asking: Asking) -> None:
    """One more letter asked for, whether or not it is sent. Raises TooMany."""
    now = await blackouts.now(session)
    await attempts.count(session, LETTER_ADDRESS, network_of(asking.address), now)
    await attempts.count(session, LETTER_ACCOUNT, asking.counted, now)


async def send_link(
    session: Session, house: Shared, link: Link, kind: LetterKind, path: str, asking: Asking, browser: str, to: str,
    now: datetime, by: str = "",
) -> None:  # fmt: skip
    """A link that opens at `path` in the asking browser alone, once, for ten minutes."""
    secret = await links.make(session, link, now, browser=browser)
    letter = compose(
        kind, host=house.host, link=f"{house.base_url}{path}?{urlencode({'token': secret})}", valid=links.GOOD_FOR,
        asked=Asked(asking.address, asking.user_agent), by=by,
    )  # fmt: skip
    await letters.write(session, house.vault, letter, to, links.GOOD_FOR, now)


async def in_the_same_time(session: Session, send: Callable[[], Awaitable[None]], really: bool) -> None:
    """Do it; where it is not to be done do it too and take it back, so that nobody learns from the time it took."""
    async with session.begin_nested() as step:
        await send()
        if not really:
            await step.rollback()


async def tell(session: Session, house: Shared, kind: LetterKind, to: str, asking: Asking, now: datetime) -> None:
    """A letter without a link, of something that happened; none where no mail server is set."""
    if house.sends_mail:
        asked = Asked(asking.address, asking.user_agent)
        await letters.write(session, house.vault, compose(kind, host=house.host, asked=asked), to, TOLD_FOR, now)


def mailed(request: Request, house: Shared, browser: str, to: str, again: str, said: str) -> Response:
    """What whoever asked reads, the same for every address; their browser keeps what the link is bound to."""
    answer = render(request, "mailed.html", to=to, again=again, said=said)
    cookie.keep(answer, house, cookie.BROWSER, browser)
    return answer


def opens_nothing(request: Request, again: str) -> Response:
    """The page of a link that was used, ran out, or was asked for in another browser; `again`: where to ask for a new one."""
    return render(request, "stale.html", 410, again=again)


def slow_down(answer: Response, error: TooMany) -> Response:
    """When it may be tried again, for programs too."""
    answer.headers["retry-after"] = str(error.retry_after)
    return answer
