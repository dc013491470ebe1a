"""Proving once more who one is, before what matters: a form asks for the present password unless somebody gave proof just now."""

from datetime import datetime, timedelta

from app.domain import mailbox
from app.domain.attempt import SIGN_IN_ACCOUNT
from app.errors import TooMany
from app.manage.pages.form import Form
from app.manage.pages.sign_in import in_words
from app.manage.passwords import Passwords
from app.store import attempts, user_sessions, users
from app.store.user_sessions import Visitor
from app.web import Session

FRESH = timedelta(minutes=10)
FIELD = "present"


def is_fresh(visitor: Visitor, now: datetime) -> bool:
    """Whether they proved in the last ten minutes who they are."""
    return now - visitor.authenticated_at < FRESH


async def prove(form: Form, session: Session, threads: Passwords, visitor: Visitor, now: datetime) -> bool:
    """Whether they are who they say; where not the form says what is wrong. Attempts count as those to sign in do."""
    if is_fresh(visitor, now):
        return True
    try:
        await attempts.count(session, SIGN_IN_ACCOUNT, mailbox.key_of(visitor.email), now)
    except TooMany as error:
        form.refuse(FIELD, f"Too many attempts. Try again in {in_words(error.retry_after)}.")
        return False
    user = await users.of_address(session, visitor.email)
    if user is None or not await threads.matches(user.password_hash, form.secret(FIELD)):
        form.refuse(FIELD, "This is not your present password.")
        return False
    await attempts.forgive(session, SIGN_IN_ACCOUNT, user.email_key)
    await user_sessions.prove_again(session, visitor.user, visitor.session, now)
    return True
