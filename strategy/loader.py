"""Find a strategy class by "package.module:Class" or "path/to/file.py:Class".

The rule: whatever is wrong becomes one StrategyLoadError sentence that names the place; the user's own import errors
carry file and line. A file is always compiled from its source: the cache of compiled files goes by second and size, and
would give back the old code of a file that was edited just now. Called by the container at load, and by `code_swap.py`
for code that replaces running code.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, SourceFileLoader
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
    module_name, class_name = _parts(spec)
    if module_name.endswith(".py"):
        return _class_in(spec, class_name, _run(spec, _spec_of_file(spec, module_name, folder)))
    return _class_in(spec, class_name, _import(spec, module_name))


@contextmanager
def fresh_strategy_class(spec: str, folder: Path | None = None) -> Iterator[type[AbstractStrategy]]:
    """The class, of a module that was read and run anew beside the one that is in use.

    The new module stays where others import it from only if the block ends well; else the one before is put back.
    """
    module_name, class_name = _parts(spec)
    importlib.invalidate_caches()
    if module_name.endswith(".py"):
        found = _spec_of_file(spec, module_name, folder)
    else:
        found = _spec_of_module(spec, module_name)
    before = sys.modules.get(found.name)
    try:
        yield _class_in(spec, class_name, _run(spec, found))
    except BaseException:
        _put_back(found.name, before)
        raise


def _parts(spec: str) -> tuple[str, str]:
    """Module or file, and class."""
    module_name, colon, class_name = spec.rpartition(":")
    if not colon or not module_name or not class_name:
        raise StrategyLoadError(f'strategy {spec!r}: expected "package.module:Class" or "file.py:Class"')
    return module_name, class_name


def _class_in(spec: str, class_name: str, module: ModuleType) -> type[AbstractStrategy]:
    found = getattr(module, class_name, None)
    if found is None:
        classes = [
            name for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, AbstractStrategy) and value is not AbstractStrategy
        ]  # fmt: skip
        where_looked = spec.rpartition(":")[0]
        raise StrategyLoadError(
            f"strategy {spec!r}: {where_looked} has no {class_name}; strategies there: {', '.join(classes) or 'none'}"
        )
    if not isinstance(found, type) or not issubclass(found, AbstractStrategy):
        raise StrategyLoadError(f"strategy {spec!r}: {class_name} is not a class derived from AbstractStrategy")
    return found


def _import(spec: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _import_failed(spec, name, error) from error


def _import_failed(spec: str, name: str, error: BaseException) -> StrategyLoadError:
    if isinstance(error, ModuleNotFoundError) and error.name and (name + ".").startswith(error.name + "."):
        return StrategyLoadError(f"strategy {spec!r}: there is no module {error.name}")
    return StrategyLoadError(f"strategy {spec!r}: {type(error).__name__} at {where(error)}: {error}")


def _spec_of_module(spec: str, name: str) -> ModuleSpec:
    try:
        found = importlib.util.find_spec(name)
    except (Exception, SystemExit) as error:  # the packages above it are imported
        raise _import_failed(spec, name, error) from error
    if found is None:
        raise StrategyLoadError(f"strategy {spec!r}: there is no module {name}")
    return found


def _spec_of_file(spec: str, text: str, folder: Path | None) -> ModuleSpec:
    path = Path(text).expanduser()
    candidates = [path] if path.is_absolute() else [base / path for base in (folder, Path.cwd()) if base is not None]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        raise StrategyLoadError(f"strategy {spec!r}: there is no file {' or '.join(str(one) for one in candidates)}")
    # The name carries the path, so that two files called the same do not replace each other in sys.modules.
    name = f"corelane_strategy_{file.stem}_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]}"
    found = importlib.util.spec_from_file_location(name, file)
    if found is None:
        raise StrategyLoadError(f"strategy {spec!r}: {file} cannot be imported")
    return found


def _run(spec: str, found: ModuleSpec) -> ModuleType:
    """Make the module and run its code from the source."""
    module = importlib.util.module_from_spec(found)
    before = sys.modules.get(found.name)
    sys.modules[found.name] = module  # dataclasses and msgspec look a class's module up there
    try:
        loader = found.loader
        if isinstance(loader, SourceFileLoader):
            exec(loader.source_to_code(loader.get_data(loader.path), loader.path), vars(module))
        elif loader is not None:
            loader.exec_module(module)
    except (Exception, SystemExit) as error:
        _put_back(found.name, before)
        raise StrategyLoadError(f"strategy {spec!r}: {type(error).__name__} at {where(error)}: {error}") from error
    return module


def _put_back(name: str, before: ModuleType | None) -> None:
    if before is None:
        sys.modules.pop(name, None)
    else:
        sys.modules[name] = before
