"""The pages: one file for what a person wants to do, its templates beside it in `templates/`."""

from fastapi import APIRouter

from app.manage.pages.confirm import pages as confirm
from app.manage.pages.deletion import pages as deletion
from app.manage.pages.invitation import pages as invitation
from app.manage.pages.keys import pages as keys
from app.manage.pages.log import pages as log
from app.manage.pages.members import pages as members
from app.manage.pages.overview import pages as overview
from app.manage.pages.projects import pages as projects
from app.manage.pages.sign_in import pages as sign_in
from app.manage.pages.static import pages as static

PAGES = (static, sign_in, confirm, overview, projects, members, invitation, keys, log, deletion)


def page_routes() -> APIRouter:
    """All of them."""
    routes = APIRouter(include_in_schema=False)
    for pages in PAGES:
        routes.include_router(pages.router)
    return routes
