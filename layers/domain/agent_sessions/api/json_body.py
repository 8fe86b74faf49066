"""Bodies and metadata: JSON in, exactly the same JSON out, and the patch of metadata. Knows nothing of sessions."""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

from agent_sessions.errors import FieldProblem, InvalidRequest, PayloadTooLarge
from agent_sessions.wire_format import compact

MAX_BODY_BYTES: Final = 65_536
"""A body of more than 64 KB is refused (docs/contract.md, Routes)."""
MAX_METADATA_BYTES: Final = 10_240
MAX_METADATA_DEPTH: Final = 100
MAX_INTEGER_DIGITS: Final = 1_000
METADATA_VERSION_PATTERN: Final = '^"[0-9a-f]{16}"$'
_METADATA_VERSION: Final = re.compile(METADATA_VERSION_PATTERN[1:-1])


class UnusableNumber(str):
    """The text of a number that JSON allows and we cannot keep: over 1,000 digits, or beyond a double's range."""

    __slots__ = ()


def read_object(body: str | None, *, is_base64: bool, limit: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """Read a request's body as a JSON object. Numbers out of range come as `UnusableNumber`.

    Raises:
        PayloadTooLarge: more than `limit` bytes.
        InvalidRequest: empty, no base64 although marked so, no UTF-8, no JSON, or no object.

    """
    text = _text(body or "", limit, is_base64=is_base64)
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
    return kept_json(value, MAX_METADATA_BYTES)


def kept_json(value: dict[str, Any] | list[Any], limit: int) -> str:
    """Return an object or a list as `metadata_json` does, of at most `limit` bytes. Raises as it does."""
    _check_values(value)
    text = compact(value)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        msg = "must not contain lone surrogates"
        raise ValueError(msg) from None
    if size > limit:
        msg = f"must have at most {limit} bytes as compact JSON, and has {size}"
        raise ValueError(msg)
    return text


def merged_metadata(kept: str, patch: object) -> str:
    """Return what a JSON Merge Patch (RFC 7396) makes of metadata, as compact JSON text.

    `{"a":1,"b":{"c":2,"d":3}}` patched with `{"a":null,"b":{"c":4},"e":[null]}` is `{"b":{"c":4,"d":3},"e":[null]}`.

    Raises:
        ValueError: the patch is no object, or a rule of `metadata_json` is broken by the patch or by the result.

    """
    if not isinstance(patch, dict):
        msg = "must be a JSON object"
        raise ValueError(msg)  # noqa: TRY004 - one kind of refusal for all of the rules here
    # Every object, list and number of a patch comes to stand in the result, at the same depth.
    _check_values(patch)
    return metadata_json(_merged(_DECODER.decode(kept), patch))


def _merged(target: object, patch: dict[str, Any]) -> dict[str, Any]:
    """Merge as RFC 7396, section 2, describes it; `patch` is at most 100 levels deep."""
    merged = target if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value) if isinstance(value, dict) else value
    return merged


class MetadataPatch(NamedTuple):
    """A JSON Merge Patch of a session's metadata, and the `metadataVersion` that it may only be applied to."""

    patch: dict[str, Any]
    if_match: str | None

    def applied_to(self, kept: str) -> str:
        """Return the metadata that the patch makes of `kept`, as compact JSON text.

        Raises:
            InvalidRequest: the result breaks a rule of metadata.

        """
        try:
            return merged_metadata(kept, self.patch)
        except ValueError as error:
            raise InvalidRequest([FieldProblem("metadata", f"{error} after the merge", self.patch)]) from None


def metadata_patch(body: dict[str, Any], headers: Mapping[str, str]) -> MetadataPatch:
    """Check a patch of a session's metadata.

    Raises:
        InvalidRequest: the body has no `metadata`, it is no object, or the header `If-Match` is malformed.

    """
    problems = []
    if_match = headers.get("if-match")
    if if_match is not None and not _METADATA_VERSION.fullmatch(if_match):
        problems.append(FieldProblem("If-Match", "must be a metadataVersion in quotes", if_match))
    if "metadata" not in body:
        problems.append(FieldProblem("body", "must have metadata, a JSON Merge Patch of it", body))
    elif not isinstance(body["metadata"], dict):
        problems.append(FieldProblem("metadata", "must be a JSON object", body["metadata"]))
    if problems:
        raise InvalidRequest(problems)
    return MetadataPatch(body["metadata"], if_match.strip('"') if if_match else None)


def _text(body: str, limit: int, *, is_base64: bool) -> str:
    """Return the body's text; the limit counts bytes as they came over the wire."""
    octets = b""
    try:
        octets = base64.b64decode(body, validate=True) if is_base64 else body.encode()
    except (binascii.Error, ValueError):
        _refuse("is not valid base64" if is_base64 else "is not valid UTF-8")
    if len(octets) > limit:
        raise PayloadTooLarge(limit)
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


def _check_values(outermost: dict[str, Any] | list[Any]) -> None:
    """Walk without recursion; refuse what is nested too deeply and numbers that cannot be kept."""
    level: list[Any] = [outermost]
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
