"""The group that results shall belong to."""

from __future__ import annotations

import grp
import os

from hpcdaas.errors import InputError


def group_id(name: str | None) -> int | None:
    """Give the number of a group; None where no name is given.

    Raises
    ------
    InputError
        If there is no such group, or this account isn't in it and so can't give it files.
    """
    if name is None:
        return None
    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError:
        raise InputError(f"There is no group '{name}' for the result.", "Change 'group' in the site file.") from None
    if os.geteuid() and number not in (os.getegid(), *os.getgroups()):
        raise InputError(f"This account isn't in the group '{name}' of the result.", "Ask your administrators.")
    return number
