"""What column types Python types become, for every table."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB
from sqlalchemy.orm import DeclarativeBase

Json = dict[str, Any]


class Base(DeclarativeBase):
    """What column types Python types become."""

    type_annotation_map = {  # noqa: RUF012
        datetime: DateTime(timezone=True),
        str: Text,
        bytes: BYTEA,
        dict[str, Any]: JSONB(none_as_null=True),  # else None would be the null of JSON, which IS NOT NULL
        list[Any]: JSONB,
        list[UUID]: ARRAY(Uuid),
        list[bytes]: ARRAY(BYTEA),
    }
