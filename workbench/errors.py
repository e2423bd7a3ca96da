"""Every error that the workbench raises on purpose.

Each kind is also the built-in exception it resembles, so that ``except ValueError`` keeps working.
A message says what was wrong with which value, what was expected, and what to do.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class WorkbenchError(Exception):
    """Base of all errors raised on purpose by the workbench."""


class InputError(WorkbenchError, ValueError):
    """A value that the caller passed is not usable."""


class ShapeError(InputError):
    """An array has the wrong number of dimensions or sizes that do not fit."""


class NotFiniteError(InputError):
    """An array holds NaN or infinity where finite numbers are needed."""


class DtypeError(WorkbenchError, TypeError):
    """An array or value has the wrong type."""


class UnknownNameError(WorkbenchError, KeyError):
    """A name (model, layer, category, method, dataset ...) is not known."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class MissingFileError(WorkbenchError, FileNotFoundError):
    """A file that is needed is not there, and could not be fetched."""


class DamagedFileError(WorkbenchError, OSError):
    """A file is there, but its size, hash or content is not what it must be."""


class UnsafeArchiveError(WorkbenchError, ValueError):
    """An archive holds a member that would leave its folder, a link, a device, or too many bytes."""


class ManifestError(WorkbenchError, ValueError):
    """A data manifest lacks what is needed to use it safely."""


class WeightsMismatchError(WorkbenchError, ValueError):
    """Weights do not fit the module that they were loaded into."""


class StoreError(WorkbenchError, RuntimeError):
    """An activation store cannot be used in the way that was asked."""


class ShardMissingError(StoreError):
    """A shard that the plan of the store promises does not exist."""


class StoreDamagedError(StoreError):
    """A shard is there, but its bytes are not those that its receipt vouches for."""


class StoreLockedError(StoreError):
    """Another writer holds the store."""


class StoreMismatchError(StoreError):
    """The store was made by another model, layer set or data than the one given."""


class DiskSpaceError(WorkbenchError, OSError):
    """The disk cannot hold what would be written, or refused to."""


class NotDeterministicError(WorkbenchError, RuntimeError):
    """A model gave different answers to the same input."""


class Interrupted(WorkbenchError, RuntimeError):
    """Long work was stopped on request before it was finished."""


def unknown_name(kind: str, name: object, known: Iterable[str], *, hint: str = "") -> UnknownNameError:
    """Make the error for a name that is not known, with the nearest known names.

    Args:
        kind: what the name should have named, for example ``"layer"``.
        name: the name as given.
        known: the names that exist.
        hint: what to do, where that is more than picking one of the names.

    Returns:
        The error, to be raised by the caller.
    """
    names = [str(item) for item in known]
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    shown = ", ".join(repr(item) for item in (close or names[:8]))
    more = "" if close or len(names) <= 8 else f" and {len(names) - 8} more"
    lead = "Did you mean" if close else "Known are"
    known_text = f"{lead} {shown}{more}{'?' if close else '.'}" if names else "None is known."
    return UnknownNameError(f"Unknown {kind} {name!r}. {known_text}{' ' + hint if hint else ''}")
