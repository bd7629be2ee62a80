"""From annotations to fields, and from loaded values to the annotated types."""

import dataclasses
import datetime
import decimal
import enum
import functools
import io
import pickle
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, TypeVar, Union

import marshmallow
import pytest
from marshmallow import fields, missing
from webargs import validate

from deepaas.arguments import Arguments
from deepaas.arguments.annotations import find_annotated, read_annotations
from deepaas.errors import DeepaasError, InvalidArguments
from deepaas.model.v2.wrapper import UploadedFile
from tests.models import annotated_kinds

T = TypeVar("T")
UPLOAD = UploadedFile("f", "/tmp/x.txt", "text/plain", "x.txt")
WHEN = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.timezone.utc)


class Mode(enum.Enum):
    FAST = "fast"
    EXACT = "exact"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass(frozen=True)
class Size:
    width: Annotated[int, validate.Range(1)]
    height: int | None = None


@dataclasses.dataclass(kw_only=True)
class Box:
    size: Size
    mode: Mode = Mode.FAST
    tags: list[str] = dataclasses.field(default_factory=list)
    area: int = dataclasses.field(default=0, init=False)
    hidden: object = dataclasses.field(default=None, init=False)


@dataclasses.dataclass
class Endless:
    within: "Endless | None" = None


@dataclasses.dataclass
class WithFile:
    file: UploadedFile


def of(hint, default=missing):
    """A function with one parameter of a type."""

    def function(it):
        pass

    function.__annotations__["it"] = hint
    function.__defaults__ = () if default is missing else (default,)
    return function


def loaded(hint, value):
    """The value of the annotated type that a caller's value becomes."""
    annotated = read_annotations(of(hint))
    arguments = Arguments(annotated.fields)
    return annotated.convert(arguments.load({"it": value}))["it"]


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (str, "a", "a"),
        (int, "7", 7),
        (float, "0.5", 0.5),
        (bool, "true", True),
        (datetime.datetime, "2026-01-02T03:04:00+00:00", WHEN),
        (datetime.date, "2026-01-02", datetime.date(2026, 1, 2)),
        (datetime.time, "03:04", datetime.time(3, 4)),
        (datetime.timedelta, "90", datetime.timedelta(seconds=90)),
        (uuid.UUID, str(uuid.UUID(int=7)), uuid.UUID(int=7)),
        (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
        (Any, {"a": [1]}, {"a": [1]}),
        (NewType("Count", int), "7", 7),
        (Optional[int], None, None),  # noqa: UP045 - authors write both
        (Union[int, None], "7", 7),  # noqa: UP007
        (int | None, None, None),
        (Annotated[int | None, validate.Range(1)], None, None),
        (Literal["a", "b"], "b", "b"),
        (Literal[1, 2], "2", 2),
        (Literal["a", None], None, None),
        (Literal[True], "yes", True),
        (Mode, "exact", Mode.EXACT),
        (Level, "HIGH", Level.HIGH),
        (list[int], ["1", 2], [1, 2]),
        (list, [1, "a"], [1, "a"]),
        (Sequence[Mode], ["fast"], [Mode.FAST]),
        (list[list[float]], [[1.5], []], [[1.5], []]),
        (list[Mode | None], ["fast", None], [Mode.FAST, None]),
        (tuple[int, ...], ["1", "2"], (1, 2)),
        (tuple[int, Mode], ["1", "fast"], (1, Mode.FAST)),
        (tuple, [1, "a"], (1, "a")),
        (set[int], [1, 1], {1}),
        (frozenset[Mode], ["fast"], frozenset([Mode.FAST])),
        (dict, {"a": 1}, {"a": 1}),
        (dict[str, float], {"a": "1.5"}, {"a": 1.5}),
        (dict[int, Mode], {"1": "fast"}, {1: Mode.FAST}),
        (Mapping[str, list[Level]], {"a": ["LOW"]}, {"a": [Level.LOW]}),
        (UploadedFile, UPLOAD, UPLOAD),
        (Path, UPLOAD, Path("/tmp/x.txt")),
        (Path | None, UPLOAD, Path("/tmp/x.txt")),
        (list[UploadedFile], [UPLOAD], [UPLOAD]),
        (list[Path], [UPLOAD], [Path("/tmp/x.txt")]),
        (Size, {"width": "3"}, Size(3)),
        (Size, {"width": 3, "height": 4}, Size(3, 4)),
        (Box, {"size": {"width": 3}}, Box(size=Size(3))),
        (
            list[Box],
            [{"size": {"width": 3}, "mode": "exact", "tags": ["a"]}],
            [Box(size=Size(3), mode=Mode.EXACT, tags=["a"])],
        ),
    ],
)
def test_the_model_gets_the_annotated_type(hint, value, expected):
    value = loaded(hint, value)
    assert (type(value), value) == (type(expected), expected)


@pytest.mark.parametrize(
    ("hint", "value", "messages"),
    [
        (int, "x", ["Not a valid integer."]),
        (int, None, ["Field may not be null."]),
        (int, missing, ["Missing data for required field."]),
        (int | None, missing, ["Missing data for required field."]),
        (Literal["a", "b"], "c", ["Must be one of: a, b."]),
        (Mode, "FAST", ["Must be one of: fast, exact."]),
        (Level, "1", ["Must be one of: LOW, HIGH."]),
        (list[Mode], ["fast", "x"], {1: ["Must be one of: fast, exact."]}),
        (list[Annotated[int, validate.Range(1)]], [0], {0: [...]}),
        (Annotated[list[int], validate.Length(min=1)], [], [...]),
        (Annotated[Annotated[float, validate.Range(0)], "text"], -1, [...]),
        (Size, {"width": 0}, {"width": [...]}),
        (Size, {"height": 1}, {"width": ["Missing data for required field."]}),
        (Size, {"width": 1, "x": 1}, {"x": ["Unknown field."]}),
        (Box, {"size": {"width": 1}, "area": 3}, {"area": ["Unknown field."]}),
    ],
)
def test_values_that_do_not_fit(hint, value, messages):
    with pytest.raises(InvalidArguments) as refused:
        loaded(hint, value)
    assert refused.value.messages.keys() == {"it"}
    found = refused.value.messages["it"]
    if messages == [...]:
        assert len(found) == 1
    elif isinstance(messages, dict):
        assert found.keys() == messages.keys()
        assert all(v == [...] or found[k] == v for k, v in messages.items())
    else:
        assert found == messages


@pytest.mark.parametrize(
    ("hint", "default", "shown", "expected"),
    [
        (int, 3, 3, 3),
        (float, 1, 1, 1),
        (int, None, None, None),  # as older authors write it
        (Mode, Mode.EXACT, "exact", Mode.EXACT),
        (Level, Level.LOW, "LOW", Level.LOW),
        (Literal["a", "b"], "b", "b", "b"),
        (list[Mode], [Mode.FAST], ["fast"], [Mode.FAST]),
        (list[int], (), [], []),
        (set[str], {"b", "a"}, ["a", "b"], {"a", "b"}),
        (tuple[int, Mode], (1, Mode.FAST), (1, "fast"), (1, Mode.FAST)),
        (dict[str, Mode], {"a": Mode.FAST}, {"a": "fast"}, {"a": Mode.FAST}),
        (Size, Size(1), {"width": 1, "height": None}, Size(1)),
        (datetime.datetime, WHEN, WHEN, WHEN),
        (UploadedFile, None, None, None),
    ],
)
def test_a_default_is_the_callers_form_of_it(hint, default, shown, expected):
    annotated = read_annotations(of(hint, default))
    assert annotated.fields["it"].load_default == shown
    assert not annotated.fields["it"].required
    arguments = Arguments(annotated.fields)
    assert annotated.convert(arguments.load({})) == {"it": expected}


@pytest.mark.parametrize(
    ("hint", "default"),
    [
        (int, object()),
        (int, "many"),
        (Mode, "fast"),
        (Path, Path("weights.h5")),
        (list[Path], [Path("a")]),
        (tuple[int, int], (1,)),
        (Size, 3),
        (dict[str, int], 3),
        (Any, object()),
        (Any, float),
    ],
)
def test_a_default_that_no_caller_could_send_is_the_functions_own(hint, default):
    annotated = read_annotations(of(hint, default))
    assert annotated.fields["it"].load_default is missing
    assert Arguments(annotated.fields).load({}) == {}


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (bytes, "bytes"),
        (complex, "complex"),
        (object, "object"),
        (int | str, "int | str"),
        (list[bytes], "bytes"),
        (dict[str, complex], "complex"),
        (T, "~T"),
        ([int], r"\[<class 'int'>\]"),
        (3, "3"),
        (Literal[1, "a"], "Literal"),
        (Literal[Mode.FAST], "Literal"),
        (WithFile, "a file within an object"),
        (dict[str, Path], "a file within an object"),
        (tuple[int, UploadedFile], "a file within an object"),
        (Endless, "Endless, which holds itself"),
        (type(None), "NoneType"),
        (pytest.fixture, "fixture"),
    ],
)
def test_types_that_cannot_be_arguments(hint, words):
    with pytest.raises(TypeError, match=rf"parameter 'it' is .*{words}.*cannot be"):
        read_annotations(of(hint))


def test_an_annotation_that_cannot_be_resolved():
    with pytest.raises(TypeError, match="'it' cannot be resolved: name 'Absent'"):
        read_annotations(of("list[Absent]"))
    function = of(int)
    function.__annotations__["return"] = "Absent"  # not needed
    assert read_annotations(function).fields.keys() == {"it"}


def test_a_parameter_without_annotation():
    def needs(a: int, b):
        pass

    def may(a: int, b=3, *c: int, **d: int):
        pass

    with pytest.raises(TypeError, match="'b' has no annotation"):
        read_annotations(needs)
    assert read_annotations(may).fields.keys() == {"a"}


@pytest.mark.parametrize(
    "function", [lambda: 1, lambda a, b=3: 1, lambda **kwargs: 1, len, None, dict.get]
)
def test_functions_without_annotations(function):
    assert read_annotations(function) is None


def test_metadata_of_an_argument():
    def predict(
        data: Annotated[UploadedFile, {"media": "image/*"}, "A picture"],
        size: Annotated[int, {"unit": "px", "location": "headers"}, int, 3] = 1,
    ):
        """Look at it.

        And say what it is.
        """

    annotated = read_annotations(predict)
    assert annotated.description == "Look at it.\n\nAnd say what it is."
    assert annotated.fields["data"].metadata == {
        "type": "file",
        "location": "form",
        "media": "image/*",
        "description": "A picture",
    }
    size = annotated.fields["size"]
    assert size.metadata == {"unit": "px", "location": "headers"}
    assert size.validators == []  # `int` is for other readers


def test_a_dataclass_that_refuses_its_values():
    function = of(annotated_kinds.Point)
    annotated = read_annotations(function)
    with pytest.raises(DeepaasError, match="Point: x is negative") as refused:
        annotated.convert({"it": {"x": -1.0}})
    assert refused.value.status == 422


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("Method", ["n", "factor"]),
        ("Class", ["n"]),
        ("Static", ["n"]),
        ("Callable", ["n"]),
        ("Decorated", ["n", "m"]),
        ("Positional", ["a", "b", "c"]),
        ("Injected", ["n"]),
        ("Batched", ["point"]),
        ("Accepts", ["accept"]),
    ],
)
def test_kinds_of_functions(name, names):
    model = getattr(annotated_kinds, name)()
    assert list(find_annotated(model, "predict").fields) == names
    assert find_annotated(model, "train") is None  # the author defines what it takes


def test_a_partial_function_has_the_arguments_that_are_left():
    annotated = find_annotated(annotated_kinds.Partial, "predict")
    assert list(annotated.fields) == ["n"]
    assert annotated.description == ""


def test_keywords_only():
    assert find_annotated(annotated_kinds.KeywordsOnly(), "predict") is None


def test_positional_arguments():
    annotated = read_annotations(annotated_kinds.Positional().predict)
    assert annotated.bind({"c": 4, "a": 2}) == ([2, None], {"c": 4})
    assert annotated.bind({"b": UPLOAD}) == ([1, Path("/tmp/x.txt")], {})


class _Pickler(pickle.Pickler):
    """Names the classes that a pickle needs."""

    def __init__(self, file):
        super().__init__(file)
        self.modules = set()

    def reducer_override(self, value):
        kind = value if isinstance(value, type) else type(value)
        self.modules.add(kind.__module__.partition(".")[0])
        return NotImplemented


def test_the_fields_hold_no_class_of_the_author():
    """So they can be loaded in a process that has no code of the model."""
    function = functools.partial(annotated_kinds.scale, 3)
    hints = [int, Mode, Level, Box, list[Size], Literal["a"], Path, WHEN.__class__]
    hints += [
        tuple[int, Mode],
        dict[int, float],
        Any,
        Annotated[int, validate.Range(1)],
    ]
    found = [read_annotations(of(hint)).fields["it"] for hint in hints]
    found += [read_annotations(of(Size, Size(1))).fields["it"]]
    found += read_annotations(function).fields.values()
    pickler = _Pickler(io.BytesIO())
    pickler.dump(found)
    assert pickler.modules <= {"marshmallow", "functools", "builtins"}
    for field in found:
        assert type(field) is getattr(fields, type(field).__name__)
        assert marshmallow.Schema.from_dict({"it": field})
