"""A file of settings in a home: one JSON object, which a person may have edited.

    settings = read_settings(home / "fees.json", FeeSettings, invalid=FeeSettingsInvalid) or FeeSettings()

Decides what is said of a file that cannot be read. What is in it is the model's.
"""

from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from grange.errors import UserError
from grange.plain_errors import describe_invalid

MAX_FILE_BYTES: Final = 1 << 14
"""More is not read: settings are written by hand."""
Model = TypeVar("Model", bound=BaseModel)


def read_settings(path: Path, model: type[Model], *, invalid: type[UserError]) -> Model | None:
    """What the file says; None where there is none. Raises `invalid` if it cannot be read or used."""
    try:
        with path.open("rb") as file:
            return model.model_validate_json(file.read(MAX_FILE_BYTES))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise invalid(
            f"{path} cannot be read: {error.strerror}.", hint="Let this account read it."
        ) from error
    except ValidationError as error:
        raise invalid(
            f"{path}: {describe_invalid(error)}.", hint="Correct it, or delete it: then nothing is decided."
        ) from None
