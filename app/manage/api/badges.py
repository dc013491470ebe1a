"""The addresses of the project's badges. The badges themselves need no key and stand in `manage/badge_routes.py`."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.manage.badge_address import EVERYTHING, FORMS, Asked, address
from app.store import badges
from app.web import Caller, House, Session

routes = APIRouter(tags=["badges"])

EXAMPLE = f"https://ping.example.com/badge/0b6a8d7e-3c1f-4c52-9e0d-5a7f1b2c3d4e/{'x' * 22}"


class Badge(BaseModel):
    """Where a badge stands in each of its forms; those that end in 3 tell `late` from `up`."""

    svg: str = Field(examples=[f"{EXAMPLE}-2/prod.svg"])
    svg3: str = Field(examples=[f"{EXAMPLE}/prod.svg"])
    json_: str = Field(alias="json", examples=[f"{EXAMPLE}-2/prod.json"])
    json3: str = Field(examples=[f"{EXAMPLE}/prod.json"])
    shields: str = Field(description="For shields.io's endpoint badge", examples=[f"{EXAMPLE}-2/prod.shields"])
    shields3: str = Field(examples=[f"{EXAMPLE}/prod.shields"])


class Badges(BaseModel):
    """Badges by tag; `*` is the one of the whole project."""

    badges: dict[str, Badge]


@routes.get("/badges", response_model=Badges)
async def list_badges(caller: Caller, session: Session, house: House) -> JSONResponse:
    """The badges of the project: one for all its checks, and one for each tag."""
    key, tags = await badges.key_of(session, caller.project), await badges.tags(session, caller.project)
    shown = {
        tag: {
            form + more: address(house.vault, house.base_url, key, Asked(tag, form, states))
            for form in FORMS
            for more, states in (("", 2), ("3", 3))
        }
        for tag in sorted({EVERYTHING, *tags})
    }
    return JSONResponse({"badges": shown})
