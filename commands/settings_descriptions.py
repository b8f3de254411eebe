"""Every setting of taxiphone.toml with its meaning, default and example, read from settings_sections/.

Both docs/settings.md and the file that `taxiphone init` writes are generated from these descriptions.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from taxiphone import settings_faults
from taxiphone.settings import Settings
from taxiphone.settings_sections import Needs, Section


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting.

    Attributes:
        key: its name in the section.
        meaning: what it does.
        values: the values that are allowed, in words.
        choices: the only texts that are allowed, or that are allowed in a list; empty where there are too many.
        required: whether it has no default.
        default: the default in TOML; None if there is none, or if the setting is not set by default.
        example: a value in TOML, which may be the default.
        needs: what a change of it needs.
    """

    key: str
    meaning: str
    values: str
    choices: tuple[str, ...]
    required: bool
    default: str | None
    example: str
    needs: Needs


@dataclass(frozen=True, slots=True)
class Table:
    """A section of the file, its meaning and its settings, in their order."""

    name: str
    meaning: str
    settings: tuple[Setting, ...]


def tables() -> Iterator[Table]:
    """The sections in the order in which `Settings` has them."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            model = field.annotation
            meanings = _meanings(model)
            yield Table(
                name,
                inspect.cleandoc(model.__doc__ or ""),
                tuple(_setting(name, model, key, meanings[key]) for key in model.model_fields),
            )


def toml(value: Any) -> str:
    """Format a setting's value as in TOML."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _setting(name: str, model: type[Section], key: str, meaning: str) -> Setting:
    field = model.model_fields[key]
    unset = field.is_required() or field.default is None
    return Setting(
        key=key,
        meaning=meaning,
        values=settings_faults.may_be((name, key), Settings).partition(", such as")[0],
        choices=_choices(settings_faults.schema_of((name, key), Settings)),
        required=field.is_required(),
        default=None if unset else toml(field.default),
        example=toml(_example(name, key, field)),
        needs=_needs(model, field),
    )


def _meanings(model: type[Section]) -> dict[str, str]:
    """The string below each setting of a section, which Python itself does not keep."""
    tree = ast.parse(Path(inspect.getfile(model)).read_text(encoding="utf-8"))
    body = next(
        node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == model.__name__
    )
    found = {}
    for setting, after in itertools.pairwise(body):
        match setting, after:
            case ast.AnnAssign(target=ast.Name(id=key)), ast.Expr(value=ast.Constant(value=str(said))):
                found[key] = said
    return found


def _choices(schema: dict[str, Any]) -> tuple[str, ...]:
    kinds = [schema, schema.get("items", {}), *schema.get("anyOf", ())]
    return tuple(str(choice) for kind in kinds for choice in kind.get("enum", ()))


def _example(name: str, key: str, field: FieldInfo) -> Any:
    example = next(iter(field.examples or ()), None)
    if example is not None:
        return example
    schema = settings_faults.schema_of((name, key), Settings)
    of_item = schema.get("items", {}).get("examples")
    return of_item[:1] if of_item else next(iter(schema.get("examples", ())), field.default)


def _needs(model: type[Section], field: FieldInfo) -> Needs:
    """What a change of a setting needs: its own mark, else its section's."""
    own = [each for each in field.metadata if isinstance(each, Needs)]
    return own[0] if own else model.needs
