#!/usr/bin/env python3
"""Builds the documentation as a static site that needs no network: host/docs/build.py --vaeguard PROGRAM [--out DIR].

Pages come from their sources: those of pages/, the READMEs, what the program says of itself (explain, help, schema), go doc,
and the docstrings of the Python package. A link that leads nowhere ends the build. Wants requirements.txt, Go, and npm for
the search without a server.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BLOB = "https://github.com/vaeguard/vaeguard/blob/main/"
SHIM = "iframe-worker@1.0.4"

# Pages that are files of the repository, as they are.
FILES = {
    "examples/quickstart/README.md": "tutorials/first-guard.md",
    "examples/table/README.md": "how-to/table.md",
    "examples/onnx/README.md": "how-to/onnx.md",
    "examples/torch-cnn/README.md": "how-to/torch-plugin.md",
    "examples/sklearn-forest/README.md": "how-to/scikit-learn.md",
    "examples/model-server/README.md": "how-to/model-server.md",
    "examples/embed/README.md": "how-to/embed.md",
    "examples/own-plugin/README.md": "how-to/own-plugin.md",
    "examples/own-plugin-python/README.md": "how-to/own-plugin-python.md",
    "examples/own-layer/README.md": "how-to/own-layer.md",
    "examples/own-attack/README.md": "how-to/own-attack.md",
    "examples/own-method/README.md": "how-to/own-method.md",
    "examples/own-format/README.md": "how-to/own-format.md",
    "examples/own-verb/README.md": "how-to/own-verb.md",
    "examples/third-party/README.md": "how-to/third-party.md",
    "host/serve/README.md": "how-to/serve.md",
    "host/engines/README.md": "how-to/engines.md",
    "builtin/trackers/README.md": "how-to/trackers.md",
    "builtin/datasets/README.md": "reference/datasets.md",
    "plugins/classifier-onnx/README.md": "reference/plugin-onnx.md",
    "plugins/classifier-oip/README.md": "reference/plugin-oip.md",
    "plugins/classifier-mlp/README.md": "reference/plugin-mlp.md",
    "plugins/classifier-cnn/README.md": "reference/plugin-cnn.md",
    "sdk/PROTOCOL.md": "reference/protocol.md",
    "sdk/python/README.md": "reference/python-guide.md",
    "host/DESIGN.md": "about/design.md",
    "host/SECURITY.md": "about/security.md",
    "CONTRIBUTING.md": "about/contributing.md",
    "CHANGELOG.md": "about/changes.md",
    "specs/tracks/RESULTS.md": "about/results.md",
    "specs/tracks/TABLES.md": "about/tables.md",
    "README.md": "about/readme.md",
}

# Packages of the Go reference: what programs and plugins are written against.
PACKAGES = ["host", "builtin", "sdk", "sdk/tensor", "sdk/sdktest", "host/detect", "host/train", "host/vae", "host/nn", "host/dataset",
            "host/attack", "host/launch", "host/serve", "host/cli"]  # fmt: skip

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^\s*(```|~~~)")


class Builder:
    def __init__(self, program: Path, out: Path) -> None:
        self.program, self.out, self.pages = str(program), out, out / "docs"
        self.faults: list[str] = []

    def say(self, *args: str) -> str:
        return subprocess.run([self.program, *args], check=True, capture_output=True, text=True, cwd=self.out).stdout

    def write(self, page: str, text: str) -> None:
        path = self.pages / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def copied(self) -> None:
        """The pages that are files; links between files become links between pages, others lead to the repository."""
        places = {**FILES, **{f"host/docs/pages/{p.relative_to(HERE / 'pages')}": str(p.relative_to(HERE / "pages")) for p in (HERE / "pages").rglob("*.md")}}
        for source, page in places.items():
            text = (ROOT / source).read_text(encoding="utf-8")
            lines, fenced = [], False
            for line in text.split("\n"):
                fenced ^= bool(FENCE.match(line))
                lines.append(line if fenced else LINK.sub(lambda m: self.link(m, source, page, places), line))
            self.write(page, "\n".join(lines))
        shutil.copytree(HERE / "pages" / "assets", self.pages / "assets", dirs_exist_ok=True)
        changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        self.write("about/versions.md", "# Versions\n\n" + between(changes, "## Versions\n", "\n## "))

    def link(self, m: re.Match, source: str, page: str, places: dict) -> str:
        text, target = m[1], m[2]
        if re.match(r"[a-z]+:|#", target):
            return m[0]
        path, _, anchor = target.partition("#")
        anchor = "#" + anchor if anchor else ""
        found = os.path.normpath(os.path.join(os.path.dirname(source), path))
        generated = source.startswith("host/docs/pages/") and path.startswith(("../reference/", "reference/", "../about/", "about/"))
        if generated and not (ROOT / found).exists():
            return m[0]  # a page that is generated: mkdocs finds out whether it is there
        if not (ROOT / found).exists():
            self.faults.append(f"{source}: {target} leads nowhere")
            return m[0]
        for file in (found, found + "/README.md"):
            if file in places:
                return f"[{text}]({os.path.relpath(places[file], os.path.dirname(page) or '.')}{anchor})"
        return f"[{text}]({BLOB}{found}{anchor})"

    def explained(self) -> list[tuple[str, str]]:
        """A page of the keys, and one for each kind of component."""
        text = self.say("explain", "--all", "--markdown")
        head, *rest = re.split(r"(?m)^(?=## )", text)
        kinds: dict[str, list[str]] = {}
        for section in rest:
            name, kind = re.match(r"## (\S+) \((.+)\)\n", section).groups()
            is_key = "." in name or kind in ("mapping", "list of mapping", "string or mapping")
            kinds.setdefault("key" if is_key else kind, []).append(section)
        self.write("reference/keys.md", "# Keys of a spec\n\n" + head.partition("\n")[2].lstrip() + titles("".join(kinds.pop("key"))))
        server = self.say("explain", "--markdown", "Server")
        self.write("reference/server.md", "# Keys of a server's file\n\n" + server.replace("\n## ", "\n### "))
        nav = [("Keys of a spec", "reference/keys.md"), ("Keys of a server", "reference/server.md")]
        for kind, sections in kinds.items():
            page = f"reference/{kind.replace(' ', '-')}.md"
            plural = {"loss": "Losses", "learning-rate schedule": "Learning-rate schedules"}.get(kind, kind.capitalize() + "s")
            self.write(page, f"# {plural}\n\n{len(sections)} of them. `vaeguard explain NAME` prints the same.\n\n" + titles("".join(sections)))
            nav.append((plural, page))
        return nav

    def commands(self) -> None:
        """Each verb's help, and the exit codes."""
        text = ["# Command line\n", "```text", self.say("--help").rstrip(), "```\n"]
        verbs = re.findall(r"(?m)^  ([a-z]+)  +\S", self.say("--help").partition("Available Commands:")[2].partition("Flags:")[0])
        for verb in verbs:
            if verb in ("help", "completion"):
                continue
            text += [f"## {verb}\n", "```text", self.say(verb, "--help").rstrip(), "```\n"]
            below = self.say(verb, "--help").partition("Available Commands:")[2].partition("Flags:")[0]
            for inner in re.findall(r"(?m)^  ([a-z]+)  +\S", below):
                text += [f"### {verb} {inner}\n", "```text", self.say(verb, inner, "--help").rstrip(), "```\n"]
        self.write("reference/command-line.md", "\n".join(text))
        codes = self.say("help", "exit-codes")
        rows = re.findall(r"(?m)^ +(\d+)  (.+)$", codes)
        assert len(rows) >= 6, codes
        table = "| code | meaning |\n|---|---|\n" + "".join(f"| {c} | {t.strip()} |\n" for c, t in rows)
        self.write("reference/exit-codes.md", f"# Exit codes\n\n{codes.splitlines()[0]}\n\n{table}")
        schema = json.loads(self.say("schema"))
        self.write("reference/schema.json", json.dumps(schema, indent=1))

    def go(self) -> list[tuple[str, str]]:
        nav = []
        for name in PACKAGES:
            doc = subprocess.run(["go", "doc", "-all", "./" + name], check=True, capture_output=True, text=True, cwd=ROOT).stdout
            page = f"reference/go/{name.replace('/', '-')}.md"
            self.write(page, go_page(name, doc))
            nav.append((name, page))
        return nav

    def python(self) -> None:
        modules = ["vaeguard", "vaeguard.guard", "vaeguard.detect.adversarial", "vaeguard.detect.base", "vaeguard.detect.saving", "vaeguard.detector",
                   "vaeguard.classifier", "vaeguard.function", "vaeguard.torch", "vaeguard.keras", "vaeguard.sklearn", "vaeguard.spark", "vaeguard.ray"]  # fmt: skip
        text = "# Python\n\n[The package's guide](python-guide.md) says how it is used; here is each class and function.\n\n"
        self.write("reference/python.md", text + "\n\n".join(f"::: {m}" for m in modules) + "\n")

    def notebooks(self) -> None:
        """The notebooks, without outputs."""
        for path in sorted((ROOT / "sdk" / "python" / "notebooks").glob("*.ipynb")):
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            parts = [("".join(c["source"]) if c["cell_type"] == "markdown" else "```python\n" + "".join(c["source"]) + "\n```") for c in cells]
            where = f"[The notebook itself]({BLOB}sdk/python/notebooks/{path.name}) is run by a test."
            self.write(f"how-to/notebook-{path.stem}.md", "\n\n".join([parts[0], where, *parts[1:]]) + "\n")

    def shim(self) -> None:
        """What lets the search work in files without a server; of npm, once a cache."""
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vaeguard-ci" / "docs-shim"
        cache.mkdir(parents=True, exist_ok=True)
        packed = cache / (SHIM.replace("@", "-") + ".tgz")
        if not packed.exists():
            subprocess.run(["npm", "pack", "--silent", SHIM], check=True, cwd=cache, stdout=subprocess.DEVNULL)
        with tarfile.open(packed) as archive:
            self.write("assets/iframe-worker.js", archive.extractfile("package/shim/index.js").read().decode())

    def configure(self, kinds: list, packages: list) -> Path:
        config = (HERE / "mkdocs.yml").read_text(encoding="utf-8")
        listing = lambda items, pad: "".join(f"\n{pad}- {json.dumps(title)}: {page}" for title, page in items)  # noqa: E731
        config = config.replace("      # KINDS", listing(kinds, "      ").lstrip("\n")).replace("        # PACKAGES", listing(packages, "        ").lstrip("\n"))
        config = config.replace("@PYTHON@", str(ROOT / "sdk" / "python"))
        path = self.out / "mkdocs.yml"
        path.write_text(config, encoding="utf-8")
        return path


def between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0].strip() + "\n"


def titles(text: str) -> str:
    """Headings of names alone, with what they are below."""
    return re.sub(r"(?m)^## (\S+) \((.+)\)$", r"## `\1`\n\n*\2*", text)


def go_page(name: str, doc: str) -> str:
    """What go doc prints: a heading for each function and type, declarations as code, comments as prose."""
    head, _, rest = doc.partition("\n\n")
    about, mark, rest = re.split(r"(?m)^((?:CONSTANTS|VARIABLES|FUNCTIONS|TYPES)\n)", rest, maxsplit=1)
    out = [f"# {name}\n", f"```go\n{head}\n```\n", prose(about)]
    declaration: list[str] = []
    comment: list[str] = []
    open_ = False  # within the braces or parentheses of a declaration

    def flush() -> None:
        if declaration:
            out.append("```go\n" + "\n".join(declaration).rstrip() + "\n```\n")
        if comment:
            out.append(prose("\n".join(comment)))
        declaration.clear()
        comment.clear()

    for line in (mark + rest).split("\n"):
        found = re.match(r"(?:func|type) (?:\([^)]*\) )?([A-Z]\w*)", line)
        if re.fullmatch(r"(CONSTANTS|VARIABLES|FUNCTIONS|TYPES)", line):
            flush()
            out.append(f"## {line.capitalize()}\n")
        elif re.match(r"(func|type|const|var)\b", line):
            flush()
            if found:
                receiver = re.match(r"func \(\w* ?\*?(\w+)", line)
                out.append(f"### {receiver[1] + '.' if receiver else ''}{found[1]}\n")
            declaration.append(line)
            open_ = line.endswith(("{", "("))
        elif open_:
            declaration.append(line)
            open_ = line not in ("}", ")")
        else:
            comment.append(line[4:] if line.startswith("    ") else line)
    flush()
    return "\n".join(out)


def prose(text: str) -> str:
    """A doc comment as Markdown: indented lines are code, the rest has no markup."""
    lines = [line if line.startswith(("    ", "\t")) else re.sub(r"([\\*_<>\[\]`#])", r"\\\1", line) for line in text.strip("\n").split("\n")]
    return "\n".join(lines) + "\n"


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--vaeguard", required=True, type=Path, help="the program, as built from this tree")
    p.add_argument("--out", type=Path, default=HERE / "site", help="where the site goes (default: host/docs/site)")
    p.add_argument("--work", type=Path, default=HERE / "work", help="for what is generated (default: host/docs/work)")
    a = p.parse_args()
    shutil.rmtree(a.work, ignore_errors=True)
    a.work.mkdir(parents=True)
    b = Builder(a.vaeguard.resolve(), a.work.resolve())
    b.copied()
    kinds = b.explained()
    b.commands()
    packages = b.go()
    b.python()
    b.notebooks()
    b.shim()
    config = b.configure(kinds, packages)
    if b.faults:
        sys.exit("\n".join(b.faults))
    subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", config, "--site-dir", a.out.resolve()], check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    outside = [f"{page}: {url}" for page in a.out.rglob("*.html") for url in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text(encoding="utf-8")) if "canonical" not in url]
    if outside:
        sys.exit("a page loads something from elsewhere: " + outside[0])


if __name__ == "__main__":
    main()
