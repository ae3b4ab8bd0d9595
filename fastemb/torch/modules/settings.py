"""The JSON files beside a model's tensors."""

import json
from pathlib import Path
from typing import Any

__all__ = ["read_settings"]


def read_settings(file: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds; ValueError: it holds none, and the message names the file."""
    try:
        found = json.loads(file.read_bytes())
    except RecursionError:
        raise ValueError(f"{file}: not valid JSON: it is nested too deep") from None
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are such
        raise ValueError(f"{file}: not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file}: expected a JSON object, got {type(found).__name__}")
    return found
