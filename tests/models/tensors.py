"""Takes arguments of every kind, and returns what it got as outputs."""

from pathlib import Path

from webargs import fields, validate


def get_metadata():
    return {"name": "Tensors of all kinds", "version": 3}


def get_predict_args():
    return {
        "integer": fields.Int(load_default=1, validate=validate.Range(max=100)),
        "number": fields.Float(load_default=0.5),
        "flag": fields.Bool(load_default=False),
        "text": fields.Str(load_default=""),
        "vector": fields.List(fields.Float(), load_default=[]),
        "words": fields.List(fields.Str(), load_default=[]),
        "matrix": fields.List(fields.List(fields.Float()), load_default=[]),
        "file": fields.Field(metadata={"type": "file", "location": "form"}),
        "files": fields.List(
            fields.Field(metadata={"type": "file", "location": "form"}),
            metadata={"type": "file", "location": "form", "media": "image/png"},
        ),
        "settings": fields.Dict(load_default={}),
        "when": fields.Date(),
    }


def predict(**kwargs):
    outputs = dict(kwargs)
    if "file" in kwargs:
        file = kwargs["file"]
        outputs["file"] = Path(file.filename).read_bytes()
        outputs["file_name"] = file.original_filename
        outputs["file_type"] = file.content_type
    if "files" in kwargs:
        outputs["files"] = [len(Path(f.filename).read_bytes()) for f in kwargs["files"]]
    if "when" in kwargs:
        outputs["when"] = kwargs["when"].isoformat()
    return outputs
