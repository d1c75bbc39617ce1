"""The inputs of a model, read from each shape in which a catalog may describe them."""

import orjson
import pytest

from runflow_mcp.methods.tools.list_models import listing as shown
from runflow_mcp.runflow.catalog.model_inputs import Input, read_inputs
from tests.runflow.example_catalog import model


def inputs(**fields: object) -> tuple[Input, ...]:
    return model(**fields).inputs


def test_listed_inputs_are_read_required_first() -> None:
    found = inputs(
        inputs=[
            {"name": "seed", "type": "integer", "required": False, "description": "Any."},
            {"name": "prompt", "type": "string", "required": True},
            {"name": "ratio", "type": "string", "required": True, "enum": ["1:1", "16:9"]},
        ]
    )
    assert found == (
        Input("prompt", "string", required=True),
        Input("ratio", "string", required=True, values=("1:1", "16:9")),
        Input("seed", "integer", required=False, description="Any."),
    )


def test_inputs_in_the_apis_own_spelling_are_read() -> None:
    assert inputs(
        inputs=[{"name": "size", "variable_type_code": "string", "is_required": True, "options": ["s", "l"]}]
    ) == (Input("size", "string", required=True, values=("s", "l")),)


def test_a_null_in_an_input_counts_as_absent() -> None:
    assert inputs(
        inputs=[
            {
                "name": "size",
                "type": None,
                "variable_type_code": "string",
                "required": None,
                "is_required": True,
                "enum": None,
                "options": ["s"],
                "description": None,
            }
        ]
    ) == (Input("size", "string", required=True, values=("s",)),)


@pytest.mark.parametrize("field", ["input_schema", "inputs"])
def test_inputs_as_a_json_schema_are_read(field: str) -> None:
    schema = {
        "type": "object",
        "properties": {
            "seed": {"type": ["null", "integer"]},
            "prompt": {"type": "string", "description": "What."},
            "mode": {"enum": ["a", "b"]},
            "odd": True,
        },
        "required": ["prompt"],
    }
    assert inputs(**{field: schema}) == (
        Input("prompt", "string", required=True, description="What."),
        Input("seed", "integer", required=False),
        Input("mode", "string", required=False, values=("a", "b")),
    )


def test_options_with_labels_are_read_as_their_values() -> None:
    found = inputs(inputs=[{"name": "a", "options": [{"label": "Small", "value": "s"}, {"label": "?"}, 5, None, []]}])
    assert found[0].values == ("s", 5)


@pytest.mark.parametrize("listed", [[None, 5, {}, {"name": ""}, {"name": 5}], {}, "x", 5, {"properties": []}, None])
def test_unreadable_inputs_are_left_out(listed: object) -> None:
    assert inputs(inputs=listed) == ()


@pytest.mark.parametrize(
    ("written", "required"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        ("yes", True),
        ("no", False),
        (1, True),
        (0, False),
        ("1", True),
        ("0", False),
        ("required", True),
        ("optional", False),
        (None, False),
        ("perhaps", False),
        (7, False),
        ([], False),
    ],
)
@pytest.mark.parametrize("field", ["required", "is_required"])
def test_whether_an_input_is_required_is_written_in_several_ways(
    field: str, written: object, *, required: bool
) -> None:
    [found] = inputs(inputs=[{"name": "a", field: written}])
    assert found.required is required
    [found] = inputs(inputs={"a": {"type": "string", field: written}})
    assert found.required is required


@pytest.mark.parametrize(("optional", "required"), [(True, False), (False, True), ("true", False), ("no", True)])
def test_an_input_that_is_not_optional_is_required(optional: object, *, required: bool) -> None:
    assert inputs(inputs=[{"name": "a", "optional": optional}])[0].required is required
    assert inputs(inputs=[{"name": "a", "optional": optional, "required": True}])[0].required is True


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        (
            {"seed": {"type": "integer"}, "prompt": {"type": "string", "required": "true", "description": "What."}},
            (Input("prompt", "string", required=True, description="What."), Input("seed", "integer", required=False)),
        ),
        ({"prompt": "string"}, (Input("prompt", "string", required=False),)),
        ({"images": "string[]"}, (Input("images", "string[]", required=False),)),
        (
            {"prompt": "required", "seed": "Optional"},
            (Input("prompt", "string", required=True), Input("seed", "string", required=False)),
        ),
        ({"prompt": "What to paint"}, (Input("prompt", "string", required=False, description="What to paint"),)),
        ({"size": {"enum": "1K,2K"}}, (Input("size", "string", required=False, values=("1K", "2K")),)),
        ({"type": {"enum": ["a"]}}, (Input("type", "string", required=False, values=("a",)),)),
        ({"odd": None, "other": 5, "": {}}, ()),
        ({"type": "object"}, ()),
        ({"type": "object", "properties": {}}, ()),
        ({"$ref": "#/definitions/x"}, ()),
        (["prompt", "seed"], (Input("prompt", "string", required=False), Input("seed", "string", required=False))),
        ([{"key": "prompt", "type": "text"}], (Input("prompt", "text", required=False),)),
        ('[{"name": "prompt", "required": true}]', (Input("prompt", "string", required=True),)),
        ('{"properties": {"a": {}}, "required": ["a"]}', (Input("a", "string", required=True),)),
        ("prompt", ()),
        ("{", ()),
    ],
    ids=str,
)
def test_inputs_are_a_list_an_object_or_either_as_text(listed: object, found: tuple[Input, ...]) -> None:
    assert inputs(inputs=listed) == found


@pytest.mark.parametrize(
    ("required", "names"),
    [
        (["prompt"], ["prompt"]),
        ("prompt", ["prompt"]),
        ("prompt, size", ["prompt", "size"]),
        ('["size"]', ["size"]),
        ("p", ["p"]),
        ("", []),
        (True, []),
        ({"prompt": True}, []),
        ([None, 5, ["prompt"], {"a": 1}, "size"], ["size"]),
    ],
    ids=str,
)
def test_required_names_are_a_list_or_a_text(required: object, names: list[str]) -> None:
    schema = {"properties": {"p": {}, "prompt": {}, "size": {}, "r": {}}, "required": required}
    assert [found.name for found in inputs(input_schema=schema) if found.required] == names


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({"enum": ["1K", "2K"]}, ("1K", "2K")),
        ({"enum": "1K,2K"}, ("1K", "2K")),
        ({"options": "1K | 2K ; 4K"}, ("1K", "2K", "4K")),
        ({"enum": "landscape"}, ("landscape",)),
        ({"enum": '["a", "b"]'}, ("a", "b")),
        ({"options": "any size that the model can make"}, ()),
        ({"options": [{"value": "s", "label": "Small"}, {"value": "l", "label": "Large"}]}, ("s", "l")),
        ({"options": [{"id": 1, "name": "Small"}, {"id": 2, "name": "Large"}]}, (1, 2)),
        ({"enum": [{"const": "a", "title": "A"}]}, ("a",)),
        ({"options": [{"name": "small"}, {"key": "large"}]}, ("small", "large")),
        ({"options": [{"code": "s", "name": "Small"}, {"code": "l", "name": "Large"}]}, ("s", "l")),
        ({"options": [{"label": "Small"}, {"value": None}, {"value": {"a": 1}}, {}]}, ()),
        ({"options": {"choices": ["a", "b"]}}, ("a", "b")),
        ({"options": {"placeholder": "Type here", "rows": 3}}, ()),
        ({"choices": ["a"]}, ("a",)),
        ({"enum": [], "options": ["a"]}, ("a",)),
        ({"enum": [None], "options": ["a"]}, ("a",)),
        ({"enum": [0, 1, 2]}, (0, 1, 2)),
        ({"enum": [False, True]}, (False, True)),
        ({"enum": [1, True, 1.0, "1", 1, "1"]}, (1, True, 1.0, "1")),
        ({"const": "only"}, ("only",)),
        ({"oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]}, ("a", "b")),
        ({"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]}, ("a", "b")),
        ({"anyOf": [{"enum": ["a"]}, {"anyOf": [{"const": "b"}, {"enum": ["c", "a"]}]}]}, ("a", "b", "c")),
        ({"anyOf": [{"enum": ["a"]}, {"type": "string"}]}, ()),
        ({"anyOf": [{"enum": ["a"]}, {"$ref": "#/x"}]}, ()),
        ({"anyOf": [{"enum": ["a"]}, None]}, ()),
        ({"allOf": [{"title": "Size"}, {"enum": ["a", "b"]}]}, ("a", "b")),
        ({"allOf": [{"$ref": "#/x"}]}, ()),
        ({"enum": {"a": 1}}, ()),
        ({"enum": 5}, ()),
        ({"enum": True}, ()),
        ({"oneOf": "a,b"}, ()),
        ({"type": "array", "items": {"enum": ["a"]}}, ()),
    ],
    ids=str,
)
def test_allowed_values_are_read_in_each_of_their_shapes(spec: dict[str, object], values: tuple[object, ...]) -> None:
    for found in (inputs(inputs=[{"name": "x", **spec}]), inputs(input_schema={"properties": {"x": spec}})):
        assert [(type(value), value) for value in found[0].values] == [(type(value), value) for value in values]
        orjson.dumps(shown(model(inputs=[{"name": "x", **spec}])))


def test_endlessly_nested_choices_have_no_values() -> None:
    spec: dict[str, object] = {"enum": ["a"]}
    for _ in range(100):
        spec = {"anyOf": [spec, spec]} if spec.get("enum") else {"anyOf": [spec]}
    assert inputs(inputs=[{"name": "x", **spec}])[0].values == ()


@pytest.mark.parametrize(
    ("spec", "type_"),
    [
        ({"enum": [1, 2]}, "integer"),
        ({"enum": [0.5, 1.5]}, "number"),
        ({"enum": [True]}, "boolean"),
        ({"enum": [1, "auto"]}, "string"),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, "integer"),
        ({"type": ["null", "array"]}, "array"),
        ({"type": "  "}, "string"),
        ({"type": {"name": "x"}, "variable_type_code": "image"}, "image"),
    ],
    ids=str,
)
def test_the_type_of_an_input_is_found_or_follows_from_its_values(spec: dict[str, object], type_: str) -> None:
    assert inputs(inputs=[{"name": "x", **spec}])[0].type == type_


def test_an_input_listed_twice_is_one_input() -> None:
    assert len(inputs(inputs=[{"name": "a"}, {"name": "a", "required": True}])) == 1


def test_an_input_without_a_type_may_hold_media_by_its_name() -> None:
    stated, silent = read_inputs([{"name": "file_image", "type": "string"}, {"name": "source_image"}])
    assert (stated.type_stated, silent.type_stated) == (True, False)
    assert stated.type == silent.type == "string"
