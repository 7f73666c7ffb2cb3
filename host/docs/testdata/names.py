"""Looks up what a page of migration calls names of Foolbox and ART: names.py PAGE. Prints how many there are; fails with those that
neither library has. A name `Class` is a class, `Class(a, b)` has those parameters in its constructor or where it is called,
and a name alone in small letters is a parameter of a class that the same cell names.
"""
import inspect
import re
import sys

import art
import art.attacks.evasion
import art.estimators.classification
import foolbox

LIBRARIES = {
    "Foolbox": (("foolbox", foolbox), ("foolbox.attacks", foolbox.attacks), ("foolbox.criteria", foolbox.criteria)),
    "ART": (("art.attacks.evasion", art.attacks.evasion), ("art.estimators.classification", art.estimators.classification)),
}


def found(library, name):
    for _, module in LIBRARIES[library]:
        if inspect.isclass(getattr(module, name, None)):
            return getattr(module, name)
    return None


def parameters(cls):
    """Of the constructor, those of classes above it that take the rest, and of the call."""
    names = set()
    for c in cls.__mro__:
        for method in ("__init__", "__call__", "generate"):
            if method in vars(c):
                names |= set(inspect.signature(vars(c)[method]).parameters)
    return names - {"self", "args", "kwargs"}


def check(library, cell):
    """(names looked up, those that are not there) of a cell."""
    known, unknown, classes = 0, [], []
    for text in re.findall("`([^`]+)`", cell):
        name, _, inside = text.partition("(")
        wanted = [p.strip() for p in inside.rstrip(")").split(",") if p.strip()]
        if name[0].isupper():
            cls = found(library, name)
            known += 1
            if cls is None:
                unknown.append(name)
                continue
            classes.append(cls)
        else:
            wanted = [name]
        has = set().union(*map(parameters, classes[-1:] if name[0].isupper() else classes))
        known += len(wanted)
        unknown += [f"{name}: {p}" if name[0].isupper() else p for p in wanted if p not in has]
    return known, unknown


def main(page):
    known, unknown = 0, []
    with open(page, encoding="utf-8") as f:
        for line in f:
            cells = line.split("|")
            if len(cells) != 5 or set(line.strip()) <= set("|- "):
                continue
            for library, cell in zip(("Foolbox", "ART"), cells[1:3]):
                n, missing = check(library, cell)
                known += n
                unknown += [f"{library} {getattr(sys.modules[library.lower()], '__version__', '?')} has no {name}" for name in missing]
    if unknown:
        sys.exit("\n".join(unknown))
    print(known)


if __name__ == "__main__":
    main(*sys.argv[1:])
