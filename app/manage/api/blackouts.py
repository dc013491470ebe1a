"""When the service could not hear, and when it held its verdicts: the same for every project."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from app.manage.api.described.blackouts import Blackouts
from app.manage.api.wire import PAGE, instant
from app.store import blackouts, holds
from app.web import Caller, Session

routes = APIRouter(tags=["blackouts"])


@routes.get("/blackouts", response_model=Blackouts)
async def list_blackouts(caller: Caller, session: Session) -> JSONResponse:
    """The last blackouts and holds, newest first, 100 of each at most."""
    deaf = await blackouts.listed(session, PAGE)
    held = await holds.listed(session, PAGE)
    return JSONResponse(
        {
            "blackouts": [
                {"from": instant(b.start), "to": instant(b.end), "seconds": round((b.end - b.start).total_seconds(), 3)}
                for b in deaf
            ],
            "holds": [
                {
                    "from": instant(h.from_at), "opened_at": instant(h.opened_at), "until": instant(h.until),
                    "released_at": instant(h.released_at),
                }
                for h in held
            ],
        }
    )  # fmt: skip
