"""What a terminal is told when the service is ready."""

from app.settings import Settings
from app.store.accounts import NewProject
from app.store.vault import Vault, set_up_token


def first_words(settings: Settings, made: NewProject) -> str:
    """The first start: the keys, a line to copy, the next steps."""
    base, key = settings.address, made.api_key
    mail = "" if settings.smtp_host else "Mail needs a server: see MISSEDBEAT_SMTP_HOST in .env.example. "
    return f"""
Missedbeat is ready: {base}
A first project is made. Keep these keys, the API keys are not shown again:

  read-write key  {made.api_key}
  read-only key   {made.api_key_readonly}
  ping key        {made.ping_key}

1. Let a job say that it ran. This line makes the monitor, too:

  curl -fsS -m 10 --retry 3 "{base}/ping/{made.ping_key}/my-job?create=1"

2. Say who is told, and how often the job runs (here every minute, 30 s of grace):

  curl -fsS {base}/api/v3/channels/ -H "X-Api-Key: {key}" -d '{{"kind": "slack", "name": "ops", "url": "https://hooks.slack.com/services/..."}}'
  curl -fsS {base}/api/v3/checks/ -H "X-Api-Key: {key}" -d '{{"name": "my-job", "slug": "my-job", "timeout": 60, "grace": 30, "channels": "*", "unique": ["slug"]}}'

3. Look: curl -fsS {base}/api/v3/checks/ -H "X-Api-Key: {key}"
   All of the API: {base}/api/docs

{mail}Data: {settings.data}. Stop with Ctrl-C.
"""  # noqa: E501 (lines to copy)


def set_up_words(settings: Settings) -> str:
    """While nobody has an account: who reads this may make the first one."""
    token = set_up_token(Vault(settings.secret_key))
    return f"""Make the first account, which owns the projects that are there, in a browser. Keep this link to yourself:

  {settings.address}/setup?token={token}
"""


def later_words(settings: Settings) -> str:
    """Every start after the first."""
    return f"""
Missedbeat is ready: {settings.address}   API: {settings.address}/api/docs   Data: {settings.data}
Pages: {settings.address}/login   More projects: missedbeat-server project create NAME --data {settings.data}   Stop with Ctrl-C.
"""
