"""Who acts, as the log of who did what names them: a person of a page, or a program by its key."""

from typing import Annotated

from fastapi import Depends, Request

from app.store.audit_entries import Actor
from app.visitor import SignedIn
from app.web import Caller, House


def person(request: Request, house: House, visitor: SignedIn) -> Actor:
    """Whoever is signed in, by their address, and where from."""
    return Actor(visitor.email, house.sender_of(request), visitor.user)


def program(request: Request, house: House, caller: Caller) -> Actor:
    """Whoever has the key, by its hint, and where from."""
    return Actor(f"key {caller.hint}…", house.sender_of(request))


Person = Annotated[Actor, Depends(person)]
Program = Annotated[Actor, Depends(program)]
