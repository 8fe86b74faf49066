"""The PartiQL that the engine knows: `UPDATE "table" SET a=? WHERE key=? AND ...`, or `REMOVE a` instead of `SET`.

One attribute a statement: that is what DynamoDB, DynamoDB Local and moto agree about. Anything else that PartiQL has is
a NotImplementedError; what is no PartiQL at all is the error that DynamoDB answers with.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from local.dynamo.expressions import COMPARISONS, Get, Test, all_test, any_test, between, comparison, exists, missing
from local.dynamo.refusals import Refused
from local.dynamo.reserved_words import RESERVED_WORDS
from local.dynamo.values import Item, Value

_TOKEN: Final = re.compile(
    r'\s*(?:(?P<quoted>"[^"]+")|(?P<text>\'(?:[^\']|\'\')*\')|(?P<number>[0-9]+(?:\.[0-9]+)?)'
    r"|(?P<word>[A-Za-z][A-Za-z0-9_]*)|(?P<mark><>|<=|>=|[=<>(),?.+-]))"
)


@dataclass(frozen=True)
class Statement:
    """A compiled UPDATE; its tests take the list of parameters as their values."""

    table: str
    attribute: str
    value: Get | None
    key: tuple[tuple[str, Get], ...]
    test: Test
    parameters: int


def wrong(message: str) -> Refused:
    """The error of one statement in a batch."""
    return Refused("ValidationError", message)


@cache
def statement(text: str, key_names: tuple[str, ...]) -> Statement:
    """Compile a statement for a table whose key has these attributes."""
    return _Parser(text, key_names).statement()


@cache
def table_of(text: str) -> str:
    """The table that a statement names."""
    match = re.match(r'\s*UPDATE\s+(?:"([^"]+)"|([A-Za-z][A-Za-z0-9_]*))(?=\s)', text, re.IGNORECASE)
    if match:
        return match.group(1) or match.group(2)
    if re.match(r"\s*(SELECT|INSERT|DELETE|EXISTS|UPDATE)\b", text, re.IGNORECASE):
        raise NotImplementedError(f"the engine knows UPDATE only: {text}")
    raise wrong("Invalid operation. Only select, insert, update and delete operations are valid")


class _Parser:
    def __init__(self, text: str, key_names: tuple[str, ...]) -> None:
        self._tokens = self._split(text)
        self._at = 0
        self._parameters = 0
        self._key_names = key_names
        self._keys: dict[str, Get] = {}
        self._depth = 0

    @staticmethod
    def _split(text: str) -> list[tuple[str, str]]:
        tokens, at = [], 0
        text = text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise wrong(f"Statement wasn't well formed, can't be processed: Unexpected token near {text[at:]!r}")
            kind = str(match.lastgroup)
            tokens.append((kind, match.group(kind)))
            at = match.end()
        return tokens

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _keyword(self, word: str) -> bool:
        kind, text = self._peek()
        if kind == "word" and text.upper() == word:
            self._at += 1
            return True
        return False

    def _mark(self, mark: str) -> bool:
        if self._peek() == ("mark", mark):
            self._at += 1
            return True
        return False

    def _must(self, found: bool) -> None:  # noqa: FBT001 - reads as a sentence where it is used
        if not found:
            kind, text = self._peek()
            raise wrong(f"Statement wasn't well formed, can't be processed: Unexpected {kind} {text}")

    def statement(self) -> Statement:
        self._must(self._keyword("UPDATE"))
        _, table = self._take()
        value = None
        if self._keyword("SET"):
            attribute = self._name()
            self._must(self._mark("="))
            value = self._operand()
        else:
            self._must(self._keyword("REMOVE"))
            attribute = self._name()
        if self._peek()[1].upper() in (",", "SET", "REMOVE", "+", "-"):
            raise NotImplementedError("the engine sets or removes one attribute a statement, to a plain value")
        self._must(self._keyword("WHERE"))
        test = self._any_of()
        if self._peek()[1].upper() == "RETURNING":
            raise NotImplementedError("the engine returns nothing from a statement")
        self._must(self._peek()[0] == "end")
        if self._keys.keys() != set(self._key_names):
            raise wrong("Where clause does not contain a mandatory equality on all key attributes")
        return Statement(table.strip('"'), attribute, value, tuple(self._keys.items()), test, self._parameters)

    def _name(self) -> str:
        kind, text = self._take()
        if self._peek() == ("mark", "."):
            raise NotImplementedError("the engine knows whole attributes only")
        if kind == "quoted":
            return text[1:-1]
        self._must(kind == "word")
        if text.upper() in RESERVED_WORDS:
            raise wrong(f"Statement wasn't well formed, can't be processed: reserved word {text} needs quotes")
        return text

    def _operand(self) -> Get:
        kind, text = self._peek()
        if kind == "mark" and text == "?":
            self._take()
            index = self._parameters
            self._parameters += 1
            return lambda _item, values: values[index]
        if kind in ("text", "number"):
            self._take()
            literal = {"N": text} if kind == "number" else {"S": text[1:-1].replace("''", "'")}
            return lambda _item, _values: literal
        if kind == "word" and text.upper() in ("TRUE", "FALSE"):
            self._take()
            boolean = {"BOOL": text.upper() == "TRUE"}
            return lambda _item, _values: boolean
        name = self._name()
        return lambda item, _values: item.get(name)

    def _any_of(self) -> Test:
        tests = [self._all_of()]
        while self._keyword("OR"):
            if not self._depth:  # the key's equality would not hold for every item
                self._keys.clear()
            tests.append(self._all_of())
            if not self._depth:
                self._keys.clear()
        return any_test(tests)

    def _all_of(self) -> Test:
        tests = [self._one()]
        while self._keyword("AND"):
            tests.append(self._one())
        return all_test(tests)

    def _one(self) -> Test:
        if self._keyword("NOT"):
            self._depth += 1
            test = self._one()
            self._depth -= 1
            return lambda item, values: not test(item, values)
        if self._mark("("):
            self._depth += 1
            test = self._any_of()
            self._depth -= 1
            self._must(self._mark(")"))
            return test
        if self._peek()[1] in ("attribute_exists", "begins_with", "contains", "attribute_type", "size"):
            raise NotImplementedError("the engine knows IS MISSING and comparisons, no functions")
        return self._comparison()

    def _comparison(self) -> Test:
        subject = self._peek()[1].strip('"')
        left = self._operand()
        kind, mark = self._peek()
        if kind == "mark" and mark in ("=", "<>", *COMPARISONS):
            self._take()
            right = self._operand()
            if subject in self._key_names and mark == "=" and not self._depth:
                self._keys.setdefault(subject, right)
            return comparison(mark, left, right)
        if self._keyword("IS"):
            negated = self._keyword("NOT")
            self._must(self._keyword("MISSING"))
            return exists(left) if negated else missing(left)
        self._must(self._keyword("BETWEEN"))
        low = self._operand()
        self._must(self._keyword("AND"))
        return between(left, low, self._operand())


def key_of(compiled: Statement, parameters: Sequence[Value]) -> Item:
    """The key that a statement asks for."""
    nothing: Any = {}
    return {name: found for name, get in compiled.key if (found := get(nothing, parameters)) is not None}
