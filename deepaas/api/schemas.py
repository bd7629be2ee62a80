"""What our own answers look like. They are dumped through these, and documented."""

from marshmallow import Schema, fields


class Link(Schema):
    """A link, as RFC 8288 has it."""

    rel = fields.Str(required=True)
    type = fields.Str(dump_default="application/json")
    href = fields.Str(required=True)


class Version(Schema):
    """A version of this API."""

    version = fields.Str(required=True)
    id = fields.Str(required=True)
    links = fields.List(fields.Nested(Link))


class Versions(Schema):
    """All versions of this API."""

    versions = fields.List(fields.Nested(Version))
    links = fields.List(fields.Nested(Link))


class ModelMeta(Schema):
    """A model, in its author's words: of any type, and with keys of his own."""

    id = fields.Raw(required=True, metadata={"type": "string"})
    name = fields.Raw(required=True, metadata={"type": "string"})
    description = fields.Raw(metadata={"type": "string"})
    license = fields.Raw(metadata={"type": "string"})
    author = fields.Raw(metadata={"type": "string"})
    version = fields.Raw(metadata={"type": "string"})
    url = fields.Raw(metadata={"type": "string"})
    links = fields.List(fields.Nested(Link))


class ModelList(Schema):
    """All models."""

    models = fields.List(fields.Nested(ModelMeta))


class Prediction(Schema):
    """The answer of a model without schema."""

    status = fields.Str(required=True)
    predictions = fields.Raw(required=True, metadata={"type": "string"})


class Failure(Schema):
    """Any error but 422."""

    message = fields.Str(required=True)


class WorkerReport(Schema):
    """A worker of a model."""

    state = fields.Str(required=True)
    pid = fields.Int(required=True)
    calls = fields.Int(required=True)


class ModelHealth(Schema):
    """Whether a model can be called."""

    ready = fields.Bool(required=True)
    message = fields.Str()
    workers = fields.List(fields.Nested(WorkerReport))


class Health(Schema):
    """Whether the server is alive, or ready."""

    status = fields.Str(required=True)
    models = fields.Dict(keys=fields.Str(), values=fields.Nested(ModelHealth))
