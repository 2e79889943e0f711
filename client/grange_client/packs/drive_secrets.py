"""The keys of drives that this renter has: all of its phrase, or those that a device was given.

secret = drive_secret(identity, 0)
whose = whose_drive(identity)            for `PackSearch`
given = give_drive(secret, "main")       goes into a delegate's file
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from grange_client.drive.keys import DriveKeys, DriveSecret
from grange_client.errors import UnknownDrive
from grange_client.keys.recovery_phrase import DelegateDrive, Identity
from grange_client.packs.search import WhoseDrive, drives_of_phrase, drives_with_keys

EMPTY: Final[Mapping[int, DriveKeys]] = MappingProxyType({})


def drive_secret(identity: Identity, number: int) -> DriveSecret:
    """Of the drive with a number. Raises UnknownDrive on a device that was not given it, and what opening the
    home's keys raises."""
    if identity.delegate_of is None:
        return DriveSecret.from_phrase(identity.secret, number)
    for one in identity.given_drives:
        if one.number == number:
            return DriveSecret(number=number, secret=one.secret, shared=one.shared)
    raise UnknownDrive(
        "This device was not given the keys of that drive.",
        detail="A delegate's file has the keys of the drives that were named when it was made.",
        hint="`grange keys delegate new FILE --drive NAME` makes one, where the recovery phrase is.",
    )


def give_drive(secret: DriveSecret, name: str) -> DelegateDrive:
    """As a device without the phrase gets it."""
    return DelegateDrive(number=secret.number, secret=secret.secret, shared=secret.shared, name=name)


def whose_drive(
    identity: Identity, *, last_known: int = -1, more: Mapping[int, DriveKeys] = EMPTY
) -> WhoseDrive:
    """Which drive of this renter a pack is of, or one of `more` whose keys are at hand. With a phrase,
    numbers up to a few beyond the last that is known are tried. Raises what opening the home's keys
    raises."""
    if identity.delegate_of is None:
        return drives_of_phrase(identity.secret, last_known=last_known)
    given = {one.number: DriveKeys(drive_secret(identity, one.number)) for one in identity.given_drives}
    return drives_with_keys({**given, **more})
