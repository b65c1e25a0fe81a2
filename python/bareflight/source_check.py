"""`python -m bareflight.source_check ADAPTER FOLDER`: what an adapter uses of its library, held against the library's sources.

`ADAPTER` is ``vllm`` or ``trtllm-torch``; `FOLDER` is a checkout, or the folder of installed packages. Nothing is imported and
nothing is fetched: the files are read as syntax. It finds names, parameters and fields, follows imports and base classes, and ends
with 1 where one is not there that the adapter cannot work without. Compiled code is not seen.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from functools import lru_cache
from typing import NamedTuple

from bareflight import trtllm_library, vllm_library
from bareflight.signatures import Needed

#: Library folder, and what the adapter uses of it.
ADAPTERS = {
    "vllm": ("vllm", vllm_library.NEEDED),
    "trtllm-torch": ("tensorrt_llm", trtllm_library.NEEDED + trtllm_library.NEEDED_IN_SOURCE),
}
#: Fields of classes that come from elsewhere, by the name of a base class.
FIELDS_OF_BASES = {"BaseModel": {"model_fields"}, "StrictBaseModel": {"model_fields"}}
#: Imports and base classes are followed so far.
DEEPEST = 24


class Found(NamedTuple):
    """A definition, and the module that it stands in."""

    module: str
    node: ast.AST


class Sources:
    """Modules below a folder, as syntax."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.parse = lru_cache(maxsize=None)(self._parse)

    def _parse(self, module: str) -> ast.Module | None:
        """A module; None where it has no file."""
        base = os.path.join(self.folder, *module.split("."))
        for path in (f"{base}.py", os.path.join(base, "__init__.py")):
            if os.path.isfile(path):
                with open(path, encoding="utf-8") as file:
                    return ast.parse(file.read(), path)
        return None

    def is_package(self, module: str) -> bool:
        """Whether relative imports begin in the module itself."""
        return os.path.isfile(os.path.join(self.folder, *module.split("."), "__init__.py"))

    def find(self, where: str) -> Found | None:
        """The definition of ``module:Class.method``."""
        module, _, path = where.partition(":")
        names = path.split(".")
        found = self.top(module, names[0])
        for name in names[1:]:
            found = found and self.member(found, name)
        return found

    def top(self, module: str, name: str, deep: int = 0) -> Found | None:
        """A definition at the top of a module, or where it is imported from."""
        tree = self.parse(module)
        if tree is None or deep > DEEPEST:
            return None
        for node in statements(tree.body):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
                return Found(module, node)
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and name in targets(node):
                # `LLM = _TorchLLM`: the other name has the definition.
                if isinstance(node.value, ast.Name) and node.value.id != name:
                    return self.top(module, node.value.id, deep + 1) or Found(module, node)
                return Found(module, node)
            if isinstance(node, ast.ImportFrom):
                source = self.absolute(module, node)
                for alias in node.names:
                    if alias.name == "*" and (found := self.top(source, name, deep + 1)):
                        return found
                    if (alias.asname or alias.name) == name:
                        return self.top(source, alias.name, deep + 1)
        return self.lazy(tree, module, name, deep)

    def lazy(self, tree: ast.Module, module: str, name: str, deep: int) -> Found | None:
        """A name of a module whose `__getattr__` looks up a table of texts: ``{"LLM": "vllm.entrypoints.llm:LLM"}``."""
        for node in ast.walk(tree):
            if not isinstance(node, ast.Dict):
                continue
            for key, value in zip(node.keys, node.values):
                if isinstance(key, ast.Constant) and key.value == name and isinstance(value, ast.Constant):
                    source, _, own = str(value.value).partition(":")
                    source = f"{module}{source}" if source.startswith(".") else source
                    return self.top(source, own or name, deep + 1)
        return None

    def absolute(self, module: str, node: ast.ImportFrom) -> str:
        """The module that an import names."""
        if not node.level:
            return node.module or ""
        parts = module.split(".")
        kept = len(parts) - node.level + (1 if self.is_package(module) else 0)
        return ".".join([*parts[:kept], *(node.module.split(".") if node.module else [])])

    def bases(self, found: Found) -> list[Found | str]:
        """Base classes: definitions, or names where they are not in these sources."""
        if not isinstance(found.node, ast.ClassDef):
            return []
        names = [ast.unparse(base).split("[")[0] for base in found.node.bases]
        return [self.top(found.module, name.split(".")[-1]) or name.split(".")[-1] for name in names]

    def member(self, found: Found, name: str, deep: int = 0) -> Found | None:
        """A member of a class or of its bases."""
        if not isinstance(found.node, ast.ClassDef) or deep > DEEPEST:
            return None
        for node in statements(found.node.body):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
                return Found(found.module, node)
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and name in targets(node):
                return Found(found.module, node)
        for base in self.bases(found):
            if isinstance(base, Found) and (inherited := self.member(base, name, deep + 1)):
                return inherited
        return None

    def fields(self, found: Found, deep: int = 0) -> set[str]:
        """What objects of a class have: members, and whatever its methods set on `self`."""
        if not isinstance(found.node, ast.ClassDef) or deep > DEEPEST:
            return set()
        known = set()
        for node in ast.walk(found.node):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                known.add(node.name)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                known |= targets(node)
        for base in self.bases(found):
            known |= self.fields(base, deep + 1) if isinstance(base, Found) else FIELDS_OF_BASES.get(base, set())
        return known

    def parameters(self, found: Found) -> set[str] | None:
        """What a function or a class takes; None where it takes anything, or nobody can tell."""
        node = found.node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            given = node.args
            if given.kwarg is not None:
                return None
            return {each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
        if isinstance(node, ast.ClassDef):
            made = self.member(found, "__init__")
            # A class that is made of its fields.
            return self.parameters(made) if made is not None else self.fields(found)
        return None


def statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """Statements, with those of `if` and `try` around them."""
    found: list[ast.stmt] = []
    for node in body:
        if isinstance(node, (ast.If, ast.Try)):
            inner = [*node.body, *node.orelse]
            inner += [each for handler in getattr(node, "handlers", []) for each in handler.body]
            found += statements(inner)
        else:
            found.append(node)
    return found


def targets(node: ast.Assign | ast.AnnAssign) -> set[str]:
    """Names and attributes of `self` that an assignment sets."""
    given = node.targets if isinstance(node, ast.Assign) else [node.target]
    flat = [each for target in given for each in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return {each.id if isinstance(each, ast.Name) else each.attr for each in flat if isinstance(each, (ast.Name, ast.Attribute))}


def fault_of(sources: Sources, need: Needed) -> str | None:
    """What is not as the adapter knows it."""
    places = need.where.split("|")
    found = next((each for each in map(sources.find, places) if each is not None), None)
    if found is None:
        return "is not there"
    known = sources.parameters(found) if need.parameters else None
    if known is not None and (gone := [name for name in need.parameters if name not in known]):
        return f"takes no {', '.join(gone)}"
    if need.fields and isinstance(found.node, ast.ClassDef):
        fields = sources.fields(found)
        if gone := [name for name in need.fields if name not in fields]:
            return f"has no field {', '.join(gone)}"
    return None


def version_of(folder: str, library: str) -> str:
    """What the sources call themselves."""
    for name in ("version.py", "_version.py"):
        try:
            with open(os.path.join(folder, library, name), encoding="utf-8") as file:
                found = re.search(r"""^__version__\s*(?:=\s*version)?\s*=\s*['"]([^'"]+)""", file.read(), re.MULTILINE)
        except FileNotFoundError:
            continue
        if found:
            return found[1]
    return "of no version that is said"


def check(adapter: str, folder: str) -> tuple[int, list[str]]:
    """Names that the adapter cannot work without and that are not there, and a line for each finding."""
    library, needed = ADAPTERS[adapter]
    if not os.path.isdir(os.path.join(folder, library)):
        return 1, [f"fail: `{folder}` has no folder `{library}`: name a checkout, or the folder of installed packages"]
    sources, lines, lost = Sources(folder), [], 0
    for need in needed:
        fault = fault_of(sources, need)
        if fault is None:
            continue
        lost += not need.without
        lines.append(f"warn: `{need.where}` {fault}; without it: {need.without}" if need.without else f"fail: `{need.where}` {fault}")
    lines.append(f"{'fail' if lost else 'ok'}: {library} {version_of(folder, library)}: {len(needed) - len(lines)} of {len(needed)} names")
    return lost, lines


def main(words: list[str]) -> int:
    """Prints findings, one a line."""
    if len(words) != 2 or words[0] not in ADAPTERS:
        print(f"give an adapter ({', '.join(ADAPTERS)}) and a folder of sources", file=sys.stderr)
        return 2
    lost, lines = check(*words)
    print("\n".join(lines))
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
