"""Bodies of requests: never more than a limit is read. What is wrong with one is a 4xx answer with one sentence."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel, ConfigDict, ValidationError

Model = TypeVar("Model", bound=BaseModel)

MAX_TEXT = 64_000  # bytes of an SDP or a JSON body


class JsonBody(BaseModel):
    """A JSON body: exactly these fields, in exactly their types."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


async def read_chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the body as it arrives; 413 as soon as it is known to be longer than `limit` bytes."""
    declared, read = request.headers.get("content-length", "0"), 0
    too_long = HTTPException(413, f"The request is too long; at most {limit} bytes are accepted here.")
    if not declared.isdecimal() or int(declared) > limit:
        raise too_long
    async for chunk in request.stream():
        read += len(chunk)
        if read > limit:
            raise too_long
        yield chunk


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body; 413 if it is longer than `limit` bytes."""
    return b"".join([chunk async for chunk in read_chunks(request, limit)])


async def read_text(request: Request, content_type: str) -> str:
    """Return the body as text; 415 if it is of another content type, 400 if it is not UTF-8."""
    if content_type_of(request) != content_type:
        raise HTTPException(415, f"Send this with Content-Type: {content_type}.")
    try:
        return (await read_body(request, MAX_TEXT)).decode()
    except UnicodeDecodeError as error:
        raise HTTPException(400, "The request is not UTF-8 text.") from error


async def read_json(request: Request, model: type[Model]) -> Model:
    """Return the JSON body as `model`; see `parse_json` for what it answers otherwise."""
    return parse_json(await read_text(request, "application/json"), model)


def parse_json(text: str, model: type[Model]) -> Model:
    """Return the JSON in `text` as `model`; 400 if it is not JSON or not an object, 422 if a field is wrong."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise HTTPException(422 if details[0]["loc"] else 400, sentence(details)) from error


def sentence(details: Sequence[Any]) -> str:
    """Return what is wrong first, in one sentence. `details`: pydantic's errors."""
    path, message = details[0]["loc"], details[0]["msg"]
    if message.startswith("Input should"):
        name = f"'{path[-1]}'" if path else "The JSON"
        return f"{name} must{message.removeprefix('Input should')}."
    return f"'{path[-1]}': {message}." if path else f"{message}."


def content_type_of(request: Request) -> str:
    """Return the media type without its parameters, in lower case; empty if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
