"""Bodies and metadata: JSON in, exactly the same JSON out. Knows nothing of sessions."""

import base64
import binascii
import json
import math
from typing import Any, Final, NoReturn

from agent_sessions.errors import FieldProblem, InvalidRequest, PayloadTooLarge
from agent_sessions.wire_format import compact

MAX_BODY_BYTES: Final = 65_536
"""A body of more than 64 KB is refused (docs/contract.md, Routes)."""
MAX_METADATA_BYTES: Final = 10_240
MAX_METADATA_DEPTH: Final = 100
MAX_INTEGER_DIGITS: Final = 1_000


class UnusableNumber(str):
    """The text of a number that JSON allows and we cannot keep: over 1,000 digits, or beyond a double's range."""

    __slots__ = ()


def read_object(body: str | None, *, is_base64: bool) -> dict[str, Any]:
    """Read a request's body as a JSON object. Numbers out of range come as `UnusableNumber`.

    Raises:
        PayloadTooLarge: more than `MAX_BODY_BYTES`.
        InvalidRequest: empty, no base64 although marked so, no UTF-8, no JSON, or no object.

    """
    text = _text(body or "", is_base64=is_base64)
    if not text or text.isspace():
        _refuse("must be a JSON object, and is empty")
    if text.startswith("\ufeff"):
        _refuse("is not valid JSON: it begins with a byte order mark")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        _refuse(f"is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except RecursionError:
        _refuse("is nested too deeply")
    if not isinstance(value, dict):
        _refuse("must be a JSON object")
    return value


def metadata_json(value: object) -> str:
    """Return metadata as compact JSON text that reads back equal: key order, strings, integers and doubles.

    Raises:
        ValueError: with the rule that is broken, as the rest of a sentence.

    """
    if not isinstance(value, dict):
        msg = "must be a JSON object"
        raise ValueError(msg)  # noqa: TRY004 - one kind of refusal for all of the rules here
    _check_values(value)
    text = compact(value)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        msg = "must not contain lone surrogates"
        raise ValueError(msg) from None
    if size > MAX_METADATA_BYTES:
        msg = f"must have at most {MAX_METADATA_BYTES} bytes as compact JSON, and has {size}"
        raise ValueError(msg)
    return text


def _text(body: str, *, is_base64: bool) -> str:
    """Return the body's text; the limit counts bytes as they came over the wire."""
    octets = b""
    try:
        octets = base64.b64decode(body, validate=True) if is_base64 else body.encode()
    except (binascii.Error, ValueError):
        _refuse("is not valid base64" if is_base64 else "is not valid UTF-8")
    if len(octets) > MAX_BODY_BYTES:
        raise PayloadTooLarge(MAX_BODY_BYTES)
    if not is_base64:
        return body
    try:
        return octets.decode()
    except UnicodeDecodeError:
        _refuse("is not valid UTF-8")


def _refuse(message: str) -> NoReturn:
    raise InvalidRequest([FieldProblem("body", message)]) from None


def _integer(text: str) -> int | UnusableNumber:
    return int(text) if len(text.lstrip("-")) <= MAX_INTEGER_DIGITS else UnusableNumber(text)


def _double(text: str) -> float | UnusableNumber:
    value = float(text)
    return value if math.isfinite(value) else UnusableNumber(text)


def _constant(name: str) -> NoReturn:
    _refuse(f"is not valid JSON: it has no {name}")


# `json.loads` would make one for each body: 0.02 Mi.
_DECODER: Final = json.JSONDecoder(parse_int=_integer, parse_float=_double, parse_constant=_constant)


def _check_values(metadata: dict[str, Any]) -> None:
    """Walk without recursion; refuse what is nested too deeply and numbers that cannot be kept."""
    level: list[Any] = [metadata]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_METADATA_DEPTH:
            msg = f"must be at most {MAX_METADATA_DEPTH} levels deep"
            raise ValueError(msg)
        below: list[Any] = []
        for container in level:
            for child in container.values() if isinstance(container, dict) else container:
                if isinstance(child, dict | list):
                    below.append(child)
                elif isinstance(child, UnusableNumber):
                    msg = f"must hold finite doubles, and integers of at most {MAX_INTEGER_DIGITS} digits"
                    raise ValueError(msg)  # noqa: TRY004 - one kind of refusal for all of the rules here
        level = below
