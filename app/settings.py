"""Settings, read once at a door and passed in: MISSEDBEAT_* and DATABASE_URL, from the environment or a file `.env`."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import BadSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = Annotated[tuple[Network, ...], NoDecode]

DOMAIN = re.compile(r"(?=.{1,190}$)[a-z0-9]([a-z0-9-]{0,62})(\.[a-z0-9]([a-z0-9-]{0,62}))*")
MAILBOX = re.compile(r"[^\s@<>,;\"]{1,64}@[A-Za-z0-9.-]{1,253}", re.ASCII)
TLS_WORDS = {
    **dict.fromkeys(("", "auto"), "auto"),
    **dict.fromkeys(("none", "no", "off", "false", "0", "plain"), "none"),
    **dict.fromkeys(("starttls", "yes", "on", "true", "1"), "starttls"),
    **dict.fromkeys(("tls", "ssl", "smtps", "implicit"), "tls"),
}


def default_data() -> Path:
    """Where `serve` keeps its own PostgreSQL and secret key when no folder is named."""
    return Path.home() / ".local" / "share" / "missedbeat"


class Settings(BaseSettings):
    """Every setting with its default; `.env.example` holds a line for each."""

    model_config = SettingsConfigDict(env_prefix="MISSEDBEAT_", env_file=".env", extra="ignore")

    database_url: str = Field(default="", validation_alias="DATABASE_URL")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    data: Path = Field(default_factory=default_data)
    postgres_bin: str = ""
    base_url: str = ""
    secret_key: str = ""
    guard_seconds: float = Field(default=2.0, ge=0.5, le=30)
    hold_mass_silence: bool = True
    trusted_proxies: Networks = ()
    allow_networks: Networks = ()
    min_period: int = Field(default=10, ge=1, le=86400)
    ping_body_limit: int = Field(default=100_000, ge=0, le=10_000_000)
    ping_limit: int = Field(default=0, ge=0, le=1_000_000)
    api_limit: int = Field(default=0, ge=0, le=1_000_000)
    log_limit: int = Field(default=1000, ge=10, le=1_000_000)
    retention_days: int = Field(default=90, ge=2, le=3650)
    metrics_token: str = ""
    docs: bool = True
    plans: bool = False
    registration: Literal["open", "closed"] = "closed"
    smtp_host: str = ""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_tls: Literal["auto", "none", "starttls", "tls"] = "auto"
    smtp_from: str = "Missedbeat <missedbeat@localhost>"
    operator_email: str = ""
    heartbeat_url: str = ""
    ping_email_domain: str = ""
    smtpd_host: str = "127.0.0.1"
    smtpd_port: int = Field(default=2525, ge=0, le=65535)
    smtpd_tls_cert: str = ""
    smtpd_tls_key: str = ""

    @field_validator("trusted_proxies", "allow_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())
        return value

    @field_validator("ping_email_domain")
    @classmethod
    def _domain(cls, value: str) -> str:
        name = value.strip().lower().rstrip(".")
        if name and not DOMAIN.fullmatch(name):
            raise ValueError("must be the domain behind the @, such as ping.example.com")
        return name

    @field_validator("operator_email")
    @classmethod
    def _mailbox(cls, value: str) -> str:
        if value.strip() and not MAILBOX.fullmatch(value.strip()):
            raise ValueError("must be one address, such as ops@example.com")
        return value.strip()

    @field_validator("heartbeat_url")
    @classmethod
    def _called(cls, value: str) -> str:
        parts = urlsplit(value.strip())
        if value.strip() and (not _leads_somewhere(parts) or parts.username is not None):
            raise ValueError("must be an http or https URL without a user, such as https://hc.example.com/ping/<id>")
        return value.strip()

    @field_validator("smtpd_tls_cert", "smtpd_tls_key")
    @classmethod
    def _file(cls, value: str) -> str:
        if value and not Path(value).is_file():
            raise ValueError("must be a file in PEM form that can be read")
        return value

    @field_validator("data")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("smtp_tls", mode="before")
    @classmethod
    def _tls_words(cls, value: object) -> object:
        return TLS_WORDS.get(str(value).strip().lower(), value)

    @field_validator("database_url")
    @classmethod
    def _psycopg(cls, value: str) -> str:
        scheme, _, rest = value.partition("://")
        if value and scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
            raise ValueError("must be a PostgreSQL URL: postgresql://user:password@host/database")
        return f"postgresql+psycopg://{rest}" if value else ""

    @field_validator("base_url")
    @classmethod
    def _http(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (not _leads_somewhere(parts) or parts.query or parts.fragment):
            raise ValueError("must be the public address, such as https://ping.example.com or https://example.com/missedbeat")
        return value.rstrip("/")

    @field_validator("secret_key")
    @classmethod
    def _long(cls, value: str) -> str:
        if value and len(value) < 32:
            raise ValueError("must have at least 32 characters; make one with: openssl rand -hex 32")
        return value

    @property
    def address(self) -> str:
        """The public address: as set, else that of the port on this machine. No slash at its end."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)  # noqa: S104
        return self.base_url or f"http://{host}:{self.port}"

    @property
    def prefix(self) -> str:
        """The path under which the service is reached, without a trailing slash; empty at the root."""
        return urlsplit(self.address).path


def _leads_somewhere(parts: SplitResult) -> bool:
    """Raises ValueError where the port is none."""
    return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)


def load(**given: object) -> Settings:
    """The settings, with those a command line gave on top. Raises BadSettings with one line for each thing to mend."""
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f".env: the file cannot be read: {getattr(error, 'strerror', None) or 'it is not in UTF-8'}") from None
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = str(problem["loc"][0]) if problem["loc"] else "settings"
            variable = name if name.isupper() else f"MISSEDBEAT_{name.upper()}"
            lines.append(f"{variable}: {problem['msg'].removeprefix('Value error, ')}")
        raise BadSettings("\n".join(lines)) from None
    if settings.database_url:
        from app.store import database_url

        database_url.check(settings.database_url)
    return settings
