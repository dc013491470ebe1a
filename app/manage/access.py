"""What pages let whom do. Each page names its rule where its path stands, and the rule is held before the page is reached:
`ANYONE`, `SIGNED_IN`, or an action in the project that the path names."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Request

from app.domain.role import Action, may
from app.errors import Forbidden, NotFound
from app.manage.api.wire import id_of
from app.same_origin import refuse_foreign_forms
from app.store import memberships
from app.store.memberships import Membership
from app.visitor import SignedIn, signed_in
from app.web import Session

Rule = Literal["anyone", "signed in"] | Action
ANYONE: Rule = "anyone"
SIGNED_IN: Rule = "signed in"
RULE = "x-rule"  # where a route keeps its rule, for the test that walks all of them
Page = TypeVar("Page", bound=Callable[..., Any])


class PageRoutes:
    """The pages of one file: `@pages.get("/projects/{project}/members", Action.SEE)`."""

    def __init__(self) -> None:
        self.router = APIRouter(include_in_schema=False, dependencies=[Depends(refuse_foreign_forms)])

    def get(self, path: str, rule: Rule) -> Callable[[Page], Page]:
        """A page that is looked at; it changes nothing."""
        return self._route(path, ["GET", "HEAD"], rule)

    def post(self, path: str, rule: Rule) -> Callable[[Page], Page]:
        """A form that is sent, from a page of ours alone."""
        return self._route(path, ["POST"], rule)

    def _route(self, path: str, methods: list[str], rule: Rule) -> Callable[[Page], Page]:
        return self.router.api_route(
            path, methods=methods, dependencies=_held(path, rule), openapi_extra={RULE: rule}, response_model=None
        )


def _held(path: str, rule: Rule) -> list[Any]:
    """What must be so before the page is reached."""
    if isinstance(rule, Action):
        assert "{project}" in path, f"{path}: an action is one in a project, which the path must name"  # noqa: S101
        return [Depends(_member_who_may(rule))]
    return [Depends(signed_in)] if rule == SIGNED_IN else []


def _member_who_may(action: Action) -> Callable[..., Awaitable[None]]:
    async def look(request: Request, visitor: SignedIn, session: Session) -> None:
        """The project of the path, if it is theirs: another's and none are the same NotFound. Raises Forbidden for a role
        that is too low."""
        found = await memberships.find(session, id_of(request.path_params["project"]), visitor.user)
        if found is None:
            raise NotFound("not found")
        if not may(found.role, action):
            raise Forbidden(f"you are a {found.role.value} of this project, and may not {action.value}")
        request.state.member = found

    return look


def member_of(request: Request) -> Membership:
    """Of a page whose rule is an action: the project, and what the visitor is in it."""
    found: Membership = request.state.member
    return found


Member = Annotated[Membership, Depends(member_of)]
