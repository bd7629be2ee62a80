"""The schemas of our own answers: they write these and document them."""

from marshmallow import Schema, fields, validate

from deepaas.jobs.records import Status


class Link(Schema):
    """A link, as RFC 8288 has it."""

    rel = fields.Str(required=True)
    type = fields.Str(dump_default="application/json")
    href = fields.Str(required=True)


class Version(Schema):
    """A version of this API."""

    version = fields.Str(required=True)
    id = fields.Str(required=True)
    name = fields.Str()
    extensions = fields.List(fields.Str())
    links = fields.List(fields.Nested(Link))


class Versions(Schema):
    """All versions of this API."""

    versions = fields.List(fields.Nested(Version))
    links = fields.List(fields.Nested(Link))


class ModelMeta(Schema):
    """A model's metadata: values of any type, and the author's own keys."""

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


class Progress(Schema):
    """The latest report of a job's progress."""

    step = fields.Raw(required=True, metadata={"type": "number"})
    total = fields.Raw(metadata={"type": "number"})
    metrics = fields.Dict(keys=fields.Str(), values=fields.Raw())
    date = fields.Str(required=True, metadata={"format": "date-time"})


class JobResult(Schema):
    """The end of a job."""

    output = fields.Raw(metadata={"description": "What the training returned"})
    finish_date = fields.Str(required=True, metadata={"format": "date-time"})
    duration = fields.Float(metadata={"description": "Seconds that it ran"})


class Job(Schema):
    """A training, or a prediction that runs in the background."""

    uuid = fields.Str(required=True)
    model = fields.Str(required=True)
    date = fields.Str(required=True, metadata={"format": "date-time"})
    args = fields.Dict(required=True)
    status = fields.Str(
        required=True, validate=validate.OneOf([status.value for status in Status])
    )
    message = fields.Str(metadata={"description": "Why it did not end well"})
    progress = fields.Nested(Progress)
    result = fields.Nested(JobResult)


class JobQuery(Schema):
    """The filters of a list of jobs."""

    status = fields.Enum(Status, by_value=True)
    limit = fields.Int(validate=validate.Range(0, 2**31 - 1))
    offset = fields.Int(validate=validate.Range(0, 2**31 - 1))


class WorkerReport(Schema):
    """A worker of a model."""

    state = fields.Str(required=True)
    pid = fields.Int(required=True)
    calls = fields.Int(required=True)
    memory = fields.Int(metadata={"description": "Bytes, with its children's"})
    since = fields.Float(metadata={"description": "Seconds since its state changed"})
    gpu = fields.Str(metadata={"description": "CUDA_VISIBLE_DEVICES, if it was given"})
    trains = fields.Bool(metadata={"description": "It was started for a training"})


class ModelHealth(Schema):
    """The availability of a model."""

    name = fields.Str()
    ready = fields.Bool(required=True)
    message = fields.Str()
    workers = fields.List(fields.Nested(WorkerReport))


class Health(Schema):
    """The health of the server: alive, or ready."""

    status = fields.Str(required=True)
    live = fields.Bool()
    ready = fields.Bool()
    models = fields.Dict(keys=fields.Str(), values=fields.Nested(ModelHealth))
