"""Independent validators of both documents."""

from __future__ import annotations

import copy
from typing import Any

from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV31SpecValidator
from swagger_spec_validator.validator20 import validate_spec


def validate_openapi(document: dict[str, Any]) -> None:
    """Fail if it is not OpenAPI 3.1."""
    assert document["openapi"] == "3.1.0"
    errors = OpenAPIV31SpecValidator(copy.deepcopy(document)).iter_errors()
    assert [(list(e.path), e.message) for e in errors] == []
    operations = [o for path in document["paths"].values() for o in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)


def validate_swagger(document: dict[str, Any]) -> None:
    """Fail if it is not OpenAPI 2.0."""
    assert document["swagger"] == "2.0"
    errors = OpenAPIV2SpecValidator(copy.deepcopy(document)).iter_errors()
    assert [(list(e.path), e.message) for e in errors] == []
    validate_spec(copy.deepcopy(document))  # raises SwaggerValidationError
