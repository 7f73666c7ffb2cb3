"""Makes the rows: data.py photos CIFAR10_JPEG | lines | tokens MODEL, in the folder
where it runs. Needs Pillow 10.1 or later and numpy; tokens needs onnxruntime too."""

import glob
import os
import pathlib
import random
import site
import sys

PARTS = {"train": 0.6, "calibration": 0.8, "test": 1.0}


def part(i, n):
    """The role of row i of n."""
    return next(p for p, end in PARTS.items() if i < end * n)


def photos(source):
    """Photos of different sizes: crops of small ones, enlarged."""
    from PIL import Image

    r = random.Random(1)
    files = sorted(pathlib.Path(source, "test").glob("*/*.jpg"))
    r.shuffle(files)
    for i, f in enumerate(files[:400]):
        image, s = Image.open(f).convert("RGB"), r.randint(24, 32)
        x, y = r.randint(0, 32 - s), r.randint(0, 32 - s)
        size = r.randint(200, 420), r.randint(160, 400)
        to = pathlib.Path("photos", part(i, 400), "sfw")
        to.mkdir(parents=True, exist_ok=True)
        image.crop((x, y, x + s, y + s)).resize(size, Image.BICUBIC).save(to / f"{i:04d}.jpg", quality=90)


def lines():
    """Rendered text, four times as wide as high, every other line turned."""
    from PIL import Image, ImageDraw, ImageFont

    r = random.Random(1)
    words = "invoice total amount Street payment London 2024 net price number order tax paper river garden seven".split()
    for i in range(400):
        font, text = ImageFont.load_default(r.randint(22, 34)), ""
        while font.getbbox(text)[2] < 150:
            text += (" " if text else "") + r.choice(words)
        _, _, w, h = font.getbbox(text)
        h = max(h + 4, (w + 8) // 4)
        ink, paper = r.randint(0, 90), r.randint(180, 255)
        image = Image.new("RGB", (4 * h, h), (paper, paper, paper - r.randint(0, 30)))
        ImageDraw.Draw(image).text((4, 0), text, (ink, ink, r.randint(0, 120)), font)
        label = "180" if i % 2 else "0"
        to = pathlib.Path("lines", part(i, 400), label)
        to.mkdir(parents=True, exist_ok=True)
        (image.rotate(180) if i % 2 else image).save(to / f"{i:04d}.png")


def tokens_of(b):
    """Magika's features of a file's bytes: both ends, stripped, filled up with 256."""
    beg, end = list(b[:4096].lstrip()[:1024]), list(b[-4096:].rstrip()[-1024:])
    return beg + [256] * (1024 - len(beg)) + [256] * (1024 - len(end)) + end


def tokens(model):
    """Files of this Python, labelled with what the network itself says of them."""
    import numpy as np
    import onnxruntime

    r, files = random.Random(1), []
    for ext in ("py", "h", "so", "json", "txt", "pyc", "pyi", "csv"):
        found = glob.glob(os.path.join(site.getsitepackages()[0], "**", "*." + ext), recursive=True)
        found = sorted(f for f in found if 64 < os.path.getsize(f) < 5e7)
        files += r.sample(found, min(len(found), 110))
    r.shuffle(files)
    x = np.array([tokens_of(pathlib.Path(f).read_bytes()) for f in files], np.uint16)
    session = onnxruntime.InferenceSession(model)
    p = np.concatenate([session.run(None, {"bytes": rows.astype(np.int32)})[0] for rows in np.array_split(x, 8)])
    role = np.array([part(i, len(x)) for i in range(len(x))])
    pathlib.Path("tokens").mkdir(exist_ok=True)
    for name in PARTS:
        np.savez(f"tokens/{name}.npz", x=x[role == name], y=p[role == name].argmax(1))


if __name__ == "__main__":
    {"photos": photos, "lines": lines, "tokens": tokens}[sys.argv[1]](*sys.argv[2:])
