"""Choose a badge and copy where it stands: of the project, of a tag, of one check. The badges themselves stand in
`manage/badge_routes.py`, and need nobody who is signed in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import quote
from uuid import UUID

from fastapi import Request, Response

from app.domain.role import Action
from app.manage import badge_address
from app.manage.access import Member, PageRoutes
from app.manage.badge import one_line
from app.manage.badge_address import EVERYTHING, Asked
from app.manage.pages.form import Form
from app.manage.pages.frame import render
from app.store import badges
from app.web import House, Session, Shared

pages = PageRoutes()

STATES = {"2": "up and down", "3": "up, late and down"}
STYLES = {"ours": "A picture of ours", "shields": "Drawn by shields.io"}
OF_TAG, OF_CHECK = "tag:", "check:"
SHIELDS = "https://img.shields.io/endpoint?url="
MARKDOWN = re.compile(r"([\\`*_\[\]<>!&])")


@dataclass(frozen=True, slots=True)
class Badge:
    """What stands beside a picture: its label, and the address without an ending."""

    name: str
    stem: str

    @property
    def label(self) -> str:
        """What of the name a badge shows."""
        return one_line(self.name)

    def copied(self, style: str) -> dict[str, str]:
        """What there is to copy, by what it is for."""
        url = f"{self.stem}.svg" if style == "ours" else SHIELDS + quote(f"{self.stem}.shields", safe="")
        alt = MARKDOWN.sub(r"\\\1", self.label)
        return {
            "Markdown": f"![{alt}]({url})",
            "HTML": f'<img alt="{escape(self.label)}" src="{escape(url)}">',
            "Address": url,
            "Address of JSON": f"{self.stem}.json",
        }


@pages.get("/projects/{project}/badges", Action.SEE)
async def badges_page(request: Request, member: Member, session: Session, house: House) -> Response:
    """The form, and the badge that is chosen: the project's to begin with."""
    form = Form(request.query_params.multi_items())
    tags, checks = await badges.tags(session, member.project), await badges.checks(session, member.project)
    states, style = _one_of(STATES, form.typed("states")), _one_of(STYLES, form.typed("style"))
    key = await badges.key_of(session, member.project)
    there = {EVERYTHING: _signed(house, key, member.name, EVERYTHING, states)}
    there |= {OF_TAG + tag: _signed(house, key, tag, tag, states) for tag in tags}
    there |= {OF_CHECK + str(one.id): Badge(one.name, f"{house.base_url}/b/{states}/{one.badge_key}") for one in checks}
    of = form.typed("of", EVERYTHING)
    if of not in there:
        form.refuse("of", "That tag or check is not there any more: choose another.")
        of = EVERYTHING
    chosen = there[of]
    return render(
        request, "badges.html", 200 if form.is_fine else 400, member=member, form=form, of=of, states=states, style=style,
        tags=tags, checks=checks, all_states=STATES, styles=STYLES, chosen=chosen, copied=chosen.copied(style),
        picture=chosen.stem.removeprefix(house.base_url) + ".svg",
    )  # fmt: skip


def _one_of(known: Mapping[str, str], typed: str) -> str:
    """What was chosen, or else the first."""
    return typed if typed in known else next(iter(known))


def _signed(house: Shared, key: UUID, label: str, tag: str, states: str) -> Badge:
    """The badge of a tag, or of everything."""
    address = badge_address.address(house.vault, house.base_url, key, Asked(tag, "svg", int(states)))
    return Badge(label, address.removesuffix(".svg"))
