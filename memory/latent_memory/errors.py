"""Errors of the memory: each says the rule, the value received and the remedy."""


class LatentMemoryError(Exception):
    """Base of all errors of the memory."""


class LocationError(LatentMemoryError):
    """A database cannot be opened where it is said to be."""


class SchemaError(LatentMemoryError):
    """A database's schema is behind or ahead of the program."""


class ReadOnlyError(LatentMemoryError):
    """A memory opened for reading only was asked to write, or the other way round."""


class TraceError(LatentMemoryError):
    """A trace, a query or a name cannot be stored or searched for as it is."""


class FeedbackError(LatentMemoryError):
    """Feedback cannot be taken as it is, or is on no answer of the namespace."""


class RateError(LatentMemoryError):
    """A namespace has had as many new traces in an hour as it may have; nothing was stored."""


class StorageError(LatentMemoryError):
    """The disk or the database refused a write; nothing was stored."""


class DamageError(LatentMemoryError):
    """Stored bytes are not what was written."""


class ImportFileError(LatentMemoryError):
    """A file to import is not a whole export; nothing was imported."""
