"""Error messages for an invalid settings file: the key, the values allowed, and the value found.

The messages are generated from the model, so a new setting needs no change here.
"""

from __future__ import annotations

import datetime as dt
import difflib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from taxiphone.settings_types import PLAIN, shown

Location = tuple[int | str, ...]
_IN_WORDS = {
    "boolean": "true or false",
    "object": "a table: a line [NAME] above its settings",
    "path": "a path in quotes",
    "plain": "a name of letters, digits, dots, hyphens and underscores, in quotes",
}
# Prefix that pydantic puts before the message of a ValueError.
_PYDANTIC_PREFIX = "Value error, "


def sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the first error of a settings file, such as `trunk.port must be true or false, not 5`."""
    first = error.errors()[0]
    where: Location = first["loc"]
    if first["type"] == "extra_forbidden":
        return _unknown(where, model)
    if first["type"] == "missing":
        if len(where) == 1:
            return f"the table [{where[0]}] is missing."
        return f"{_key(where)} is missing; it must be {may_be(where, model)}."
    if first["type"] == "value_error":
        words = f"{first['msg'].removeprefix(_PYDANTIC_PREFIX)}."
        return f"{_key(where)}: {words}" if where else words
    return _wrong(where, model, first["input"])


def date_in(data: Mapping[str, Any], model: type[BaseModel]) -> str | None:
    """Describe the first date or time in a TOML file's data, if any: no setting takes one."""
    for where, value in _leaves(data):
        if isinstance(value, dt.date | dt.time):
            return _wrong(where, model, value)
    return None


def _leaves(value: Any, where: Location = ()) -> Iterator[tuple[Location, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*where, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*where, number))
    else:
        yield where, value


def _wrong(where: Location, model: type[BaseModel], value: Any) -> str:
    values = may_be(where, model)
    if not values:
        return _unknown(where, model)
    return f"{_key(where)} must be {values}, not {shown(value)}."


def _key(where: Location) -> str:
    """Format a location: `trunk.port`, or `trunk.codecs, item 2` for an item of a list."""
    names = ".".join(str(part) for part in where if isinstance(part, str))
    items = "".join(f", item {part + 1}" for part in where if isinstance(part, int))
    return names + items


def _unknown(where: Location, model: type[BaseModel]) -> str:
    near = difflib.get_close_matches(str(where[-1]), _properties(schema_of(where[:-1], model)), n=1)
    hint = f" Did you mean {'.'.join([*map(str, where[:-1]), near[0]])}?" if near else ""
    return f"{_key(where)}: no such setting.{hint}"


def may_be(where: Location, model: type[BaseModel]) -> str:
    """Describe the values that a setting can have; empty if there is no such setting."""
    schema = schema_of(where, model)
    return _described(schema) if schema else ""


def schema_of(where: Location, model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of a location, with references resolved; empty if there is no such setting."""
    root = _whole(model)
    schema = root
    for part in where:
        inner = schema.get("items", {}) if isinstance(part, int) else _properties(schema).get(part, {})
        if "$ref" in inner:
            inner = root["$defs"][inner["$ref"].rpartition("/")[2]]
        schema = inner
    return schema


@functools.cache
def _whole(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = schema.get("properties", {})
    return properties


def _described(schema: dict[str, Any]) -> str:
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    if len(choices) == 1:
        schema = choices[0]
    if any(choice.get("type") == "number" for choice in choices):
        return _amount(schema)
    if "enum" in schema:
        return _one_of([shown(value) for value in schema["enum"]])
    kind = "path" if schema.get("format") == "path" else schema.get("type", "string")
    if kind == "integer":
        return f"a whole number{_bounds(schema.get('minimum'), schema.get('maximum'))}"
    if kind == "array":
        return f"a list in brackets, each item {_described(schema.get('items', {}))}"
    if schema.get("pattern") == PLAIN:
        kind = "plain"
    example = f", such as {shown(schema['examples'][0])}" if "examples" in schema else ""
    return _IN_WORDS.get(kind, "text in quotes") + example


def _amount(schema: dict[str, Any]) -> str:
    highest = schema.get("le")
    if highest is not None:
        return f'a number{_bounds(schema.get("ge"), highest)}, in quotes, such as "0.20"'
    return f'an amount{_bounds(schema.get("ge"), None)}, in quotes, such as "5.00"'


def _bounds(least: int | None, most: int | None) -> str:
    if least is not None and most is not None:
        return f" from {least} to {most}"
    return "" if least is None else f" of at least {least}"


def _one_of(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"
