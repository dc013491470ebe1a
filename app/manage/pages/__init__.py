"""The pages: one file for what a person wants to do, its templates beside it in `templates/`."""

from app.manage.pages.account import pages as account
from app.manage.pages.account_address import pages as account_address
from app.manage.pages.account_deletion import pages as account_deletion
from app.manage.pages.account_password import pages as account_password
from app.manage.pages.account_second_step import pages as account_second_step
from app.manage.pages.badges import pages as badges
from app.manage.pages.channel_form import pages as channel_form
from app.manage.pages.channels import pages as channels
from app.manage.pages.code import pages as code
from app.manage.pages.confirm import pages as confirm
from app.manage.pages.deletion import pages as deletion
from app.manage.pages.export import pages as export
from app.manage.pages.guide import pages as guide
from app.manage.pages.incident import pages as incident
from app.manage.pages.incidents import pages as incidents
from app.manage.pages.invitation import pages as invitation
from app.manage.pages.keys import pages as keys
from app.manage.pages.live import pages as live
from app.manage.pages.log import pages as log
from app.manage.pages.members import pages as members
from app.manage.pages.monitor import pages as monitor
from app.manage.pages.monitor_acts import pages as monitor_acts
from app.manage.pages.monitor_form import pages as monitor_form
from app.manage.pages.monitors import pages as monitors
from app.manage.pages.overview import pages as overview
from app.manage.pages.projects import pages as projects
from app.manage.pages.set_up import pages as set_up
from app.manage.pages.sign_in import pages as sign_in
from app.manage.pages.sign_in_by_link import pages as sign_in_by_link
from app.manage.pages.sign_up import pages as sign_up
from app.manage.pages.static import pages as static
from app.manage.pages.tv import pages as tv

PAGES = (
    static, guide, sign_in, sign_in_by_link, code, sign_up, set_up, confirm,
    account, account_password, account_address, account_second_step, account_deletion,
    projects, overview, live, monitors, tv, incidents, incident, channel_form, channels,
    monitor_form, monitor, monitor_acts,
    members, invitation, keys, badges, log, export, deletion,
)  # fmt: skip
ROUTES = [route for pages in PAGES for route in pages.router.routes]
