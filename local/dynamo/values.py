"""DynamoDB's typed attribute values: what is valid, in which form it is kept, how it compares and what it weighs."""

import copy
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from botocore.exceptions import ParamValidationError

from local.dynamo.refusals import validation

Value = dict[str, Any]
Item = dict[str, Value]

_PLAIN_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,37}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DIGITS: Final = 38
_LARGEST_EXPONENT: Final = 125
_SMALLEST_EXPONENT: Final = -130

NAMES: Final = {
    "S": "STRING",
    "N": "NUMBER",
    "B": "BINARY",
    "BOOL": "BOOLEAN",
    "NULL": "NULL",
    "M": "MAP",
    "L": "LIST",
}
ORDERED: Final = ("S", "N", "B")


def kind_of(value: Value) -> str:
    """The one type that a value has: S, N, B, BOOL, NULL, M or L."""
    return next(iter(value))


def number(text: str) -> int | Decimal:
    """A kept number, ready for arithmetic and comparison."""
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


def number_value(value: int | Decimal) -> Value:
    """The attribute value of a computed number."""
    return {"N": canonical_number(str(value))}


def canonical_number(text: str) -> str:
    """A number as DynamoDB gives it back: 1.50 as 1.5, 1e3 as 1000, -0 as 0."""
    if _PLAIN_INTEGER.fullmatch(text):
        return text
    if not _NUMBER.fullmatch(text):
        raise validation(f"The parameter cannot be converted to a numeric value: {text}")
    try:
        parsed = Decimal(text)
    except InvalidOperation:
        raise validation(f"The parameter cannot be converted to a numeric value: {text}") from None
    digits = parsed.as_tuple().digits
    significant = "".join(map(str, digits)).strip("0")
    if not significant:
        return "0"
    if len(significant) > _DIGITS:
        raise validation("Attempting to store more than 38 significant digits in a Number")
    if parsed.adjusted() > _LARGEST_EXPONENT:
        raise validation("Number overflow. Attempting to store a number with magnitude larger than supported range")
    if parsed.adjusted() < _SMALLEST_EXPONENT:
        raise validation("Number underflow. Attempting to store a number with magnitude smaller than supported range")
    plain = format(parsed, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    sign = "-" if plain.startswith("-") else ""
    plain = plain.lstrip("+-").lstrip("0")
    return sign + (f"0{plain}" if plain.startswith(".") else plain)


def _text(content: Any) -> str:
    return content if isinstance(content, str) else _wrong_type(content, "str")


def _number_text(content: Any) -> str:
    return canonical_number(content) if isinstance(content, str) else _wrong_type(content, "str")


def _binary(content: Any) -> bytes:
    return bytes(content) if isinstance(content, bytes | bytearray) else _wrong_type(content, "bytes")


def _boolean(content: Any) -> bool:
    return content if isinstance(content, bool) else _wrong_type(content, "bool")


def _null(content: Any) -> bool:
    if _boolean(content):
        return True
    raise validation(
        "One or more parameter values were invalid: Null attribute value types must have the value of true"
    )


def _map(content: Any) -> Item:
    return kept_item(content) if isinstance(content, dict) else _wrong_type(content, "dict")


def _list(content: Any) -> list[Value]:
    return [kept(entry) for entry in content] if isinstance(content, list) else _wrong_type(content, "list")


def _wrong_type(content: Any, wanted: str) -> Any:
    raise ParamValidationError(report=f"Invalid type for parameter, value: {content!r}, valid types: {wanted}")


_KEEP: Final[dict[str, Callable[[Any], Any]]] = {
    "S": _text,
    "N": _number_text,
    "B": _binary,
    "BOOL": _boolean,
    "NULL": _null,
    "M": _map,
    "L": _list,
}


def kept(value: Any) -> Value:
    """A value as sent, checked and in the form in which it is stored: a new object, never changed afterwards."""
    if not isinstance(value, dict):
        _wrong_type(value, "dict")
    if len(value) != 1:
        which = "has more than one datatypes set" if value else "is empty"
        raise validation(f"Supplied AttributeValue {which}, must contain exactly one of the supported datatypes")
    ((kind, content),) = value.items()
    keep = _KEEP.get(kind)
    if keep is None:
        if kind in ("SS", "NS", "BS"):
            raise NotImplementedError("the engine has no sets")
        raise ParamValidationError(report=f"Unknown parameter in an attribute value: {kind!r}")
    return {kind: keep(content)}


def kept_item(item: Mapping[str, Any]) -> Item:
    """A whole item, checked and in the form in which it is stored."""
    return {name: kept(value) for name, value in item.items()}


def given(item: Mapping[str, Value]) -> Item:
    """A copy to hand out, which the receiver may change as it likes."""
    return {
        name: copy.deepcopy(value) if "M" in value or "L" in value else value.copy() for name, value in item.items()
    }


def sort_value(value: Value) -> Any:
    """What a value of type S, N or B is ordered by."""
    ((kind, content),) = value.items()
    return number(content) if kind == "N" else content


def equal(left: Value, right: Value) -> bool:
    """Equal in type and content; numbers are kept in one form only, so that their texts compare."""
    return left == right


def size_of_value(value: Value) -> int:
    """Bytes that a value takes, by AWS's rules (numbers: half a byte a digit, and one more)."""
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content) if content.isascii() else len(content.encode())
    if kind == "N":
        return _size_of_number(content)
    if kind == "B":
        return len(content)
    if kind in ("BOOL", "NULL"):
        return 1
    if kind == "M":
        return 3 + sum(size_of_attribute(name, inner) + 1 for name, inner in content.items())
    return 3 + sum(size_of_value(inner) + 1 for inner in content)


def _size_of_number(text: str) -> int:
    digits = text.lstrip("-").replace(".", "").strip("0") or "0"
    return (len(digits) + 1) // 2 + 1 + text.startswith("-")


def size_of_attribute(name: str, value: Value) -> int:
    """Bytes of a name and its value."""
    return (len(name) if name.isascii() else len(name.encode())) + size_of_value(value)


def size_of_item(item: Mapping[str, Value]) -> int:
    """Bytes of a whole item."""
    return sum(size_of_attribute(name, value) for name, value in item.items())
