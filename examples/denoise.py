"""Audio in and out: removes steady noise, such as a hum, from a recording.

Reads and writes WAV files with the standard library. Serve it with:

    deepaas-run --model denoise=examples/denoise.py
"""

import io
import wave
from typing import Annotated, Literal

import numpy as np
from aiohttp import web
from marshmallow.validate import Range

from deepaas.model.v2.wrapper import UploadedFile

WINDOW = 1024  # samples that are looked at together


def read_wav(path):
    """Return samples from -1 to 1, shape (channels, n), and samples in a second."""
    try:
        with wave.open(path, "rb") as file:
            if file.getsampwidth() != 2:
                raise wave.Error("only 16 bits in a sample are read")
            frames = file.readframes(file.getnframes())
            channels, rate = file.getnchannels(), file.getframerate()
    except (wave.Error, EOFError) as error:
        raise web.HTTPBadRequest(reason=f"not a WAV file: {error}") from error
    samples = np.frombuffer(frames, "<i2").reshape(-1, channels).T / 32768
    if samples.shape[1] < 4 * WINDOW:
        raise web.HTTPBadRequest(reason="the recording is too short")
    return samples, rate


def write_wav(samples, rate):
    """Return samples as a WAV file."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples.T.clip(-1, 1) * 32767).astype("<i2").tobytes())
    target.seek(0)
    return target


def subtract_noise(samples, strength):
    """Lower each frequency by its usual level (spectral subtraction)."""
    step = WINDOW // 2
    padded = np.pad(samples, (step, WINDOW))
    starts = range(0, len(padded) - WINDOW, step)
    shape = np.hanning(WINDOW + 1)[:-1]
    spectra = np.fft.rfft([padded[i : i + WINDOW] * shape for i in starts])
    level = np.abs(spectra)
    quiet = np.maximum(level - strength * np.median(level, axis=0), 0)
    pieces = np.fft.irfft(spectra * quiet / np.maximum(level, 1e-12))
    result = np.zeros(len(padded))
    for i, piece in zip(starts, pieces, strict=True):
        result[i : i + WINDOW] += piece
    return result[step : step + len(samples)]


def decibels(samples):
    """Return the level of samples: 0 is as loud as possible."""
    return float(10 * np.log10(np.mean(np.square(samples)) + 1e-12))


def predict(
    recording: Annotated[
        UploadedFile, "A WAV file, 16 bits", {"media": ["audio/wav", "audio/x-wav"]}
    ],
    strength: Annotated[float, Range(0, 3), "0 changes nothing"] = 1.5,
    accept: Literal["audio/wav", "application/json"] = "audio/wav",
):
    """Remove steady noise from a recording, or measure how much there is."""
    samples, rate = read_wav(recording.filename)
    cleaned = np.array([subtract_noise(channel, strength) for channel in samples])
    if accept == "audio/wav":
        return write_wav(cleaned, rate)
    return {
        "seconds": samples.shape[1] / rate,
        "level_before": decibels(samples),
        "level_after": decibels(cleaned),
    }
