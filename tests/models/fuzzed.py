"""Takes arguments of every kind, and answers for any values.

It fails for one thing only: a file that is not what the server says it is.
"""

import enum
import io
import tempfile
from pathlib import Path

import marshmallow
from webargs import fields, validate

from deepaas.model.v2.wrapper import UploadedFile


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


class Address(marshmallow.Schema):
    x = fields.Int(required=True)
    street = fields.Str(data_key="street-name", load_default="")
    more = fields.List(fields.Nested(lambda: Address(exclude=("more",))))

    class Meta:
        unknown = marshmallow.INCLUDE


ADDRESS = Address()
UPLOAD = {"type": "file", "location": "form"}
TYPES = {
    "application/json": lambda shown: shown,
    "text/plain": lambda shown: " ".join(shown.values()),
    "image/png": lambda shown: repr(shown).encode("utf-8", "backslashreplace"),
    "application/zip": lambda shown: io.BytesIO(b"x" * 2_000_000),
    "application/x-ndjson": lambda shown: iter_of(shown),
    "text/event-stream": lambda shown: iter_of(shown),
    "text/csv": lambda shown: temporary_file(),
}


def iter_of(shown):
    yield from shown.values()


def temporary_file():
    file = tempfile.NamedTemporaryFile(suffix=".csv", delete=False)  # noqa: SIM115
    file.write(b"1,2\n")
    file.seek(0)
    return file


def get_predict_args():
    return {
        "text": fields.Str(),
        "short": fields.Str(validate=validate.Length(1, 5), allow_none=True),
        "pattern": fields.Str(validate=validate.Regexp("[a-z]+$")),
        "choice": fields.Str(missing="a", enum=["a", "b"], description="Old style"),
        "one of": fields.Str(validate=validate.OneOf(("a", "b"))),
        "password": fields.Str(load_only=True),
        "integer": fields.Int(validate=validate.Range(min=-(2**70), max=2**70)),
        "strict": fields.Int(strict=True),
        "float": fields.Float(allow_nan=True),
        "half": fields.Float(validate=validate.Range(0, 1, max_inclusive=False)),
        "decimal": fields.Decimal(),
        "money": fields.Decimal(places=2, validate=validate.Range(min=0)),
        "bool": fields.Bool(),
        "date": fields.Date(),
        "time": fields.Time(),
        "datetime": fields.DateTime(),
        "rfc": fields.DateTime(format="rfc"),
        "timestamp": fields.DateTime(format="timestamp"),
        "aware": fields.AwareDateTime(),
        "naive": fields.NaiveDateTime(),
        "seconds": fields.TimeDelta(),
        "uuid": fields.UUID(),
        "url": fields.Url(),
        "email": fields.Email(),
        "ip": fields.IP(),
        "interface": fields.IPInterface(),
        "colour": fields.Enum(Colour),
        "value": fields.Enum(Colour, by_value=True),
        "constant": fields.Constant("always"),
        "function": fields.Function(deserialize=lambda value: value),
        "raw": fields.Raw(),
        "list": fields.List(fields.Int()),
        "texts": fields.List(fields.Str(), validate=validate.Length(max=3)),
        "some": fields.List(fields.Str(), validate=validate.ContainsOnly(["a", "b"])),
        "lists": fields.List(fields.List(fields.Float())),
        "delimited": fields.DelimitedList(fields.Int()),
        "pair": fields.Tuple((fields.Int(), fields.Str())),
        "dict": fields.Dict(),
        "numbers": fields.Dict(keys=fields.Int(), values=fields.Decimal()),
        "nested": fields.Nested({"x": fields.Int(required=True)}),
        "addresses": fields.Nested(ADDRESS, many=True),
        "pluck": fields.Pluck(ADDRESS, "x"),
        "none": fields.Str(missing=None),
        "demo-image": fields.Str(),
        "size(px)": fields.Int(),
        "a,b; c": fields.Int(),
        'q"uote': fields.Str(),
        "Größe": fields.Str(),
        "func": fields.Str(),
        "self": fields.Str(),
        "renamed": fields.Str(data_key="new-name[0]"),
        "header": fields.Int(data_key="X-Number", location="headers"),
        "headers": fields.List(fields.Str(), data_key="X-Texts", location="headers"),
        "object": fields.Dict(data_key="X-Object", location="headers"),
        "when": fields.DateTime(data_key="X-When", location="headers"),
        "cookie": fields.Str(location="cookies"),
        "cookies": fields.List(fields.Int(), location="cookies"),
        "in query": fields.Int(location="querystring"),
        "in form": fields.DelimitedList(fields.Str(), location="form"),
        "in json": fields.Raw(location="json"),
        "file": fields.Field(metadata=UPLOAD),
        "volume": fields.Raw(metadata=UPLOAD),
        "files": fields.List(fields.Field(metadata={"type": "file"}), location="form"),
        "untyped": fields.Field(location="form"),
        "accept": fields.Str(
            validate=validate.OneOf(list(TYPES)), metadata={"location": "headers"}
        ),
    }


def get_train_args():
    return get_predict_args()


def show(value):
    if isinstance(value, str):
        return value
    for file in value if isinstance(value, list) else [value]:
        if isinstance(file, UploadedFile):  # the server has given its word
            assert Path(file.filename).parent == Path(tempfile.gettempdir()), file
            Path(file.filename).read_bytes()
    try:
        return repr(value)[:1000]
    except (RecursionError, ValueError):  # deep, or an integer of 5,000 digits
        return type(value).__name__


def predict(accept="application/json", **kwargs):
    return TYPES[accept]({name: show(value) for name, value in kwargs.items()})


def train(**kwargs):
    return {name: show(value) for name, value in kwargs.items()}
