"""Writes the images here and the pixels that Pillow (libjpeg-turbo) decodes of them: NAME.jpg, NAME.npy.

The pictures are drawn: shades, waves, discs of strong colour, noise. Wants numpy, Pillow, and opencv-python-headless, which writes the
samplings that Pillow does not write.
"""

import sys

import cv2
import numpy as np
from PIL import Image


def photo(height, width, seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    out = np.stack([128 + 100 * np.sin(x / rng.uniform(4, 20) + y / rng.uniform(4, 20) + p) for p in rng.uniform(0, 6, 3)], -1)
    for _ in range(6):
        inside = np.hypot(x - rng.uniform(0, width), y - rng.uniform(0, height)) < rng.uniform(3, 12)
        out[inside] = rng.uniform(0, 255, 3)
    return Image.fromarray(np.clip(out + rng.normal(0, 6, out.shape), 0, 255).astype(np.uint8))


def save(name, image, **options):
    if options.get("subsampling") in ("4:4:0", "4:1:1"):
        factor = getattr(cv2, "IMWRITE_JPEG_SAMPLING_FACTOR_" + options["subsampling"].replace(":", ""))
        progressive = int(options.get("progressive", False))
        how = [cv2.IMWRITE_JPEG_QUALITY, options["quality"], cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
        cv2.imwrite(name + ".jpg", np.asarray(image)[:, :, ::-1], how)
    else:
        options.setdefault("subsampling", "4:2:0")
        options["subsampling"] = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}[options["subsampling"]]
        image.save(name + ".jpg", **options)
    decoded = Image.open(name + ".jpg")
    np.save(name + ".npy", np.asarray(decoded if decoded.mode == "L" else decoded.convert("RGB")))


def main(many):
    folder = sys.argv[1] if many else "."
    p = (folder + "/").__add__
    for seed, (sampling, label) in enumerate([("4:4:4", "444"), ("4:2:2", "422"), ("4:2:0", "420"), ("4:4:0", "440"), ("4:1:1", "411")]):
        save(p(label), photo(37, 51, seed), quality=80, subsampling=sampling)
        save(p(label + "-progressive"), photo(35, 46, seed), quality=60, subsampling=sampling, progressive=True)
    save(p("grey"), photo(33, 40, 7).convert("L"), quality=75)
    save(p("grey-progressive"), photo(33, 40, 7).convert("L"), quality=75, progressive=True)
    save(p("low"), photo(40, 40, 8), quality=5)
    save(p("high"), photo(24, 24, 9), quality=100)
    save(p("restarts"), photo(40, 56, 10), quality=85, restart_marker_blocks=2)
    save(p("rgb"), photo(30, 30, 11), quality=85, subsampling="4:4:4", keep_rgb=True)
    save(p("cmyk"), photo(30, 30, 12).convert("CMYK"), quality=85)
    with open(p("cmyk.jpg"), "rb") as f:  # the same planes taken for YCCK: the transform that Adobe's marker names
        data = f.read()
    at = data.index(b"Adobe") + 11
    with open(p("ycck.jpg"), "wb") as f:
        f.write(data[:at] + b"\2" + data[at + 1 :])
    np.save(p("ycck.npy"), np.asarray(Image.open(p("ycck.jpg")).convert("RGB")))
    for size in [(1, 1), (2, 3), (3, 2), (5, 4), (8, 8), (17, 16)]:
        save(p("size-%dx%d" % size), photo(*size, 13), quality=90)
    if many:
        n = 0
        for h in (1, 2, 3, 7, 16, 31, 64, 101):
            for w in (1, 2, 3, 4, 5, 15, 33, 98):
                for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1"):
                    for progressive in (False, True):
                        n += 1
                        save(p("m%d" % n), photo(h, w, n), quality=[10, 50, 75, 95, 100][n % 5], subsampling=sampling, progressive=progressive, optimize=n % 2 == 0)


if __name__ == "__main__":
    main(len(sys.argv) > 1)
