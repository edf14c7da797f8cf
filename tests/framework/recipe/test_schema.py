from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from bfmkit.recipe.schema import argument_descriptions, recipe_schema
from bfmkit.recipe.sources import shipped
from bfmkit.recipe.yaml_text import read


@pytest.fixture
def validator(toys) -> Draft202012Validator:
    schema, _ = recipe_schema()
    Draft202012Validator.check_schema(schema)
    json.dumps(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize(
    "text",
    [
        "{type: toy, query_rule: {type: toy}}",
        "{type: toy, query_rule: {type: toy, sizes: [1], pair: [1, 2.5], share: 0.5}, rate: auto}",
        "{type: toy, query_rule: {type: toy, threshold: '${seed}'}, later: {type: toy}, seed: 3}",
        "{type: toy, query_rule: {type: toy}, query_rules: {a: {type: toy}}, either: {type: episode}}",
        "{type: toy, query_rule: {type: toy}, either: 3, settings: {rate: 1}}",
        "{type: toy, query_rule: {type: toy}, later: '${query_rule}'}",
        "{extends: base, query_rule: {threshold: 3}}",
    ],
)
def test_accepts_what_is_right(validator: Draft202012Validator, text: str) -> None:
    assert not list(validator.iter_errors(read(text)))


@pytest.mark.parametrize(
    "text",
    [
        "{type: toy}",
        "{type: toi, query_rule: {type: toy}}",
        "{type: toy, query_rule: {type: toi}}",
        "{type: toy, query_rule: toy}",
        "{type: toy, query_rule: {type: toy, treshold: 1}}",
        "{type: toy, query_rule: {type: toy, threshold: x}}",
        "{type: toy, query_rule: {type: toy}, steps: x}",
        "{type: toy, query_rule: {type: toy}, settings: {rat: 1}}",
        "{type: toy, query_rule: {type: toy}, ends: badly}",
        "{type: toy, query_rule: {type: toy}, schema_version: 2}",
        "{type: toy, query_rule: {type: toy, pair: [1]}}",
        "{extends: base, query_rule: {treshold: 3}}",
        "{extends: 3}",
        "[]",
    ],
)
def test_refuses_what_is_wrong(validator: Draft202012Validator, text: str) -> None:
    assert list(validator.iter_errors(read(text)))


def test_accepts_every_shipped_recipe(validator: Draft202012Validator) -> None:
    for name, path in shipped().items():
        assert not list(validator.iter_errors(read(path.read_text(encoding="utf-8")))), name


def test_it_says_what_the_docstrings_say(toys) -> None:
    schema, _ = recipe_schema()
    query_rule = schema["$defs"]["query_rule.toy"]
    assert query_rule["description"] == "Open above a threshold."
    assert query_rule["properties"]["threshold"]["description"] == "above which it opens, and it is positive."
    assert query_rule["properties"]["threshold"]["default"] == 1.0
    assert argument_descriptions(toys.PairQueryRule) == {}


def test_ranges_of_arguments_are_in_it() -> None:
    definitions = json.loads(json.dumps(recipe_schema()[0], allow_nan=False))["$defs"]
    steps = definitions["schedule.every"]["properties"]["steps"]["anyOf"][0]
    assert (steps["type"], steps["minimum"]) == ("integer", 1)
    discount = definitions["posterior.ridge"]["properties"]["discount"]["anyOf"][0]
    assert (discount["exclusiveMinimum"], discount["maximum"]) == (0, 1)
    networks = definitions["networks.two_stream"]["properties"]["width"]["anyOf"][0]
    assert networks["multipleOf"] == 2


def test_nothing_of_ours_is_left_out() -> None:
    assert recipe_schema()[1] == []
