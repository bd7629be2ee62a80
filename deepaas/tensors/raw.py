"""A body without JSON: it is the value of the only argument that a model requires.

Source: Triton's extension "Binary Tensor Data", "Raw Binary Request".
"""

from deepaas.errors import BadBody
from deepaas.tensors.datatypes import BYTES, DATATYPES, join
from deepaas.tensors.request import HEADER, InferRequest, Input
from deepaas.tensors.specs import Signature

PARAMETERS = {"binary_data_output": True}


def raw_name(signature: Signature) -> str:
    """Returns the name of the argument that a raw body gives. Raises BadBody."""
    required = [name for name in signature.specs if name not in signature.optional]
    names = required or list(signature.specs)
    if len(names) != 1:
        known = ", ".join(names) or "none"
        raise BadBody(
            f"{HEADER} is 0, so the body is the value of the only argument that the "
            f"model requires. It requires {len(required)} of these: {known}."
        )
    return names[0]


def raw_file(name: str) -> InferRequest:
    """Returns the request that a raw body makes whose argument takes a file."""
    return InferRequest(parameters=PARAMETERS, inputs=[Input(name, BYTES, (1,), {})])


def raw_tensor(
    name: str, signature: Signature, body: bytes
) -> tuple[InferRequest, bytes]:
    """Returns the request that any other raw body makes, and the bytes of its tensor.

    Numbers have one free dimension. Raises BadBody.
    """
    spec = signature.specs[name]
    datatype = DATATYPES[spec.datatype]
    if datatype is BYTES:
        body, shape = join([body]), (1,)
    elif spec.rank > 1 or len(body) % datatype.size:
        raise BadBody(
            f"{HEADER} is 0, and the body cannot be {name!r}: {len(body)} bytes "
            f"are not a vector of {datatype.name}."
        )
    else:
        shape = (len(body) // datatype.size,)
    given = Input(name, datatype, shape, {}, size=len(body))
    return InferRequest(parameters=PARAMETERS, inputs=[given]), body
