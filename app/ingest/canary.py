"""The canary's door: a check-in of our own that comes in through the public address shows that those of others can."""

from datetime import datetime
from urllib.parse import parse_qs

from sqlalchemy.exc import SQLAlchemyError

from app.domain.tokens import canary_path
from app.ingest.inbox import AWAY
from app.ingest.read import Scope
from app.ingest.reply import TEXT, Dress, Send, reply
from app.store import blackouts
from app.store.engine import Sessions


class CanaryDoor:
    """Hears canaries through the connections that check-ins take. Only who knows the secret key can send one."""

    def __init__(self, sessions: Sessions, secret_key: str, dress: Dress) -> None:
        self._sessions = sessions
        self._headers = dress.base
        self.path = canary_path(secret_key) if secret_key else ""

    async def __call__(self, scope: Scope, send: Send) -> None:
        """`?sent=<when>`: 200 once it is noted, 404 for one that nobody sent."""
        try:
            sent = datetime.fromisoformat(parse_qs(scope["query_string"].decode("latin-1"))["sent"][0])
            async with self._sessions() as session:
                heard = sent.tzinfo is not None and await blackouts.canary_heard(session, sent)
                await session.commit()
        except (KeyError, ValueError):
            heard = False
        except (*AWAY, SQLAlchemyError):
            await reply(send, 503, b"try again", TEXT, self._headers, 2)
            return
        await reply(send, 200 if heard else 404, b"OK" if heard else b"not found", TEXT, self._headers, None)
