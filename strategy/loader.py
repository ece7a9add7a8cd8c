"""Find a strategy class by "package.module:Class" or "path/to/file.py:Class".

The rule: whatever is wrong becomes one StrategyLoadError sentence that names the place; the user's own import errors
carry file and line. Called by the container at load.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from strategy.abstract_strategy import AbstractStrategy


class StrategyLoadError(Exception):
    """A strategy cannot be loaded; one sentence."""


def where(error: BaseException) -> str:
    """file:line of the innermost frame of an exception: the place its author has to look at."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename] or list(frames)
    return f"{own[-1].filename}:{own[-1].lineno}" if own else "unknown place"


def load_strategy_class(spec: str, folder: Path | None = None) -> type[AbstractStrategy]:
    """The class. Relative file paths are looked for in `folder` (the config's) and then in the working directory."""
    module_name, colon, class_name = spec.rpartition(":")
    if not colon or not module_name or not class_name:
        raise StrategyLoadError(f'strategy {spec!r}: expected "package.module:Class" or "file.py:Class"')
    module = _load_file(spec, module_name, folder) if module_name.endswith(".py") else _load_module(spec, module_name)
    found = getattr(module, class_name, None)
    if found is None:
        classes = [
            name for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, AbstractStrategy) and value is not AbstractStrategy
        ]  # fmt: skip
        raise StrategyLoadError(
            f"strategy {spec!r}: {module_name} has no {class_name}; strategies there: {', '.join(classes) or 'none'}"
        )
    if not isinstance(found, type) or not issubclass(found, AbstractStrategy):
        raise StrategyLoadError(f"strategy {spec!r}: {class_name} is not a class derived from AbstractStrategy")
    return found


def _load_module(spec: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise StrategyLoadError(f"strategy {spec!r}: there is no module {error.name}") from None
        raise StrategyLoadError(f"strategy {spec!r}: {error} at {where(error)}") from error
    except Exception as error:
        raise StrategyLoadError(f"strategy {spec!r}: {type(error).__name__} at {where(error)}: {error}") from error


def _load_file(spec: str, text: str, folder: Path | None) -> ModuleType:
    path = Path(text).expanduser()
    candidates = [path] if path.is_absolute() else [base / path for base in (folder, Path.cwd()) if base is not None]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        raise StrategyLoadError(f"strategy {spec!r}: there is no file {' or '.join(str(one) for one in candidates)}")
    # The name carries the path, so that two files called the same do not replace each other in sys.modules.
    name = f"corelane_strategy_{file.stem}_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]}"
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise StrategyLoadError(f"strategy {spec!r}: {file} cannot be imported")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and msgspec look a class's module up there
    try:
        found.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(name, None)
        raise StrategyLoadError(f"strategy {spec!r}: {type(error).__name__} at {where(error)}: {error}") from error
    return module
