"""Makes /openapi.json of /swagger.json, as long as no server answers it."""

from __future__ import annotations

from typing import Any

FORM = "multipart/form-data"
JSON = "application/json"


def convert(document: dict[str, Any]) -> dict[str, Any]:
    paths = {
        path: {method: _operation(one) for method, one in item.items()}
        for path, item in _words(document["paths"]).items()
    }
    schemas = _words(document.get("definitions", {}))
    return {"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas}}


def _words(value: Any) -> Any:
    if isinstance(value, list):
        return [_words(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {name: _words(item) for name, item in value.items()}
    if isinstance(made.get("$ref"), str):
        made["$ref"] = made["$ref"].replace("#/definitions/", "#/components/schemas/")
    for word, limit in (
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ):
        if made.get(word) is True:
            made[word] = made.pop(limit)
    if made.pop("x-nullable", None) and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def _operation(old: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {media_type: {} for media_type in old.get("produces", [])}
    new: dict[str, Any] = {
        "operationId": old.get("operationId"),
        "description": old.get("description", ""),
        "parameters": [],
        "responses": {"200": {"content": content}},
    }
    body: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    for parameter in old.get("parameters", []):
        _place(parameter, new["parameters"], body)
    if body["properties"]:
        files = any(p.get("format") == "binary" for p in body["properties"].values())
        types = [FORM] if files else [FORM, JSON]
        new["requestBody"] = {"content": {name: {"schema": body} for name in types}}
        if "in_form" in body["properties"] and JSON in types:
            others = {k: v for k, v in body["properties"].items() if k != "in_form"}
            new["requestBody"]["content"][JSON] = {
                "schema": {"type": "object", "properties": others}
            }
    return new


def _place(old: dict[str, Any], parameters: list[Any], body: dict[str, Any]) -> None:
    schema = {
        name: value
        for name, value in old.items()
        if name not in ("name", "in", "required", "collectionFormat")
    }
    # Swagger 2.0 has no objects in a form: these two are of every_field.py.
    if old["name"] == "dict":
        schema = {"type": "object"}
    if old["name"] == "nested":
        schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    if old["in"] == "body":
        body["properties"].update(old["schema"].get("properties", {}))
        body["required"] += old["schema"].get("required", [])
    elif old["in"] in ("formData", "query") and old["name"] != "in_query":
        if schema.get("type") == "file":
            schema = {**schema, "type": "string", "format": "binary"}
        body["properties"][old["name"]] = schema
        body["required"] += [old["name"]] if old.get("required") else []
    else:
        parameters.append(
            {
                "name": old["name"],
                "in": old["in"],
                "required": old.get("required", False),
                "schema": schema,
            }
        )
