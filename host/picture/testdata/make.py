"""Writes images of every kind here, as Pillow writes them, and what Pillow makes of them: NAME.EXT and NAME.npy.

formats: kinds/NAME.EXT with kinds/NAME.npy, bytes H×W or H×W×3 (grey and RGB, alpha over white in float).
resizing: resize/METHOD-H×W.npy, float32, of resize/image.npy.
Wants numpy and Pillow.
"""

import os

import numpy as np
from PIL import Image, ImageOps

rng = np.random.default_rng(3)
H, W = 13, 17
y, x = np.mgrid[0:H, 0:W].astype(float)
colour = np.stack([128 + 120 * np.sin(x / 3 + y / 5 + p) for p in (0, 2, 4)], -1)
colour[(x - 9) ** 2 + (y - 6) ** 2 < 14] = 250, 20, 40
colour = np.clip(colour + rng.normal(0, 5, colour.shape), 0, 255).astype(np.uint8)
rgb = Image.fromarray(colour)
grey = rgb.convert("L")
alpha = Image.fromarray(np.clip(x * 16 + y, 0, 255).astype(np.uint8))


def over_white(image):
    a = np.asarray(image.convert("RGBA"), np.float64)
    return (a[..., :3] * a[..., 3:] / 255 + 255 - a[..., 3:]).astype(np.float32)


def save(name, image, want=None, **options):
    path = "kinds/" + name
    image.save(path, **options)
    if want is None:
        want = np.asarray(Image.open(path))
    if want.itemsize > 4:
        want = want.astype(np.uint16)
    np.save(os.path.splitext(path)[0] + ".npy", want)


def main():
    os.makedirs("kinds", exist_ok=True)
    os.makedirs("resize", exist_ok=True)
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    la = grey.copy()
    la.putalpha(alpha)
    few = rgb.quantize(16)
    sixteen = Image.fromarray((np.asarray(grey).astype(np.uint16) * 251 + x.astype(np.uint16)))
    save("png-rgb.png", rgb)
    save("png-grey.png", grey)
    save("png-alpha.png", rgba, over_white(rgba))
    save("png-grey-alpha.png", la, over_white(la)[..., 0])
    save("png-palette.png", few, np.asarray(few.convert("RGB")))
    save("png-palette-clear.png", few, over_white(Image.open("kinds/png-palette.png")), transparency=3)
    save("png-palette-clear.png", few, over_white(Image.open("kinds/png-palette-clear.png")), transparency=3)
    save("png-one-bit.png", grey.convert("1"), np.asarray(grey.convert("1").convert("L")))
    save("png-sixteen.png", sixteen)
    save("gif-colour.gif", few, np.asarray(few.convert("RGB")))
    save("gif-grey.gif", grey, np.asarray(grey))
    save("gif-clear.gif", few, over_white(Image.open("kinds/gif-colour.gif")), transparency=3)
    save("gif-clear.gif", few, over_white(Image.open("kinds/gif-clear.gif")), transparency=3)
    save("gif-frames.gif", few, np.asarray(few.convert("RGB")), save_all=True, append_images=[few.rotate(180)])
    save("bmp-rgb.bmp", rgb)
    save("bmp-grey.bmp", grey)
    save("bmp-palette.bmp", few, np.asarray(few.convert("RGB")))
    save("bmp-one-bit.bmp", grey.convert("1"), np.asarray(grey.convert("1").convert("L")))
    save("tiff-rgb.tif", rgb)
    save("tiff-grey.tif", grey)
    save("tiff-sixteen.tif", sixteen)
    save("tiff-deflate.tif", rgb, compression="tiff_adobe_deflate")
    save("tiff-lzw.tif", rgb, compression="tiff_lzw")
    save("tiff-packbits.tif", grey, compression="packbits")
    save("tiff-palette.tif", few, np.asarray(few.convert("RGB")))
    save("webp-lossless.webp", rgb, lossless=True)
    save("webp-lossless-alpha.webp", rgba, over_white(rgba), lossless=True, exact=True)
    for quality in (20, 80):
        save("webp-%d.webp" % quality, rgb, quality=quality)
    rgba.save("kinds/webp-alpha.webp", quality=80, exact=True)
    np.save("kinds/webp-alpha.npy", over_white(Image.open("kinds/webp-alpha.webp")))
    even = rgb.crop((0, 0, 16, 12))
    save("webp-even.webp", even, quality=70)
    for o in range(1, 9):
        exif = Image.Exif()
        exif[0x112] = o
        name = "kinds/exif-%d" % o
        rgb.save(name + ".jpg", quality=80, exif=exif)
        np.save(name + ".npy", np.asarray(ImageOps.exif_transpose(Image.open(name + ".jpg"))))
    source = np.asarray(rgb, np.float32) / 255
    np.save("resize/image.npy", source)
    for method, how in (("area", Image.BOX), ("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)):
        for h, w in ((5, 6), (13, 4), (1, 1), (26, 34), (31, 9), (7, 29)):
            planes = [np.asarray(Image.fromarray(source[..., k]).resize((w, h), how)) for k in range(3)]
            np.save("resize/%s-%dx%d.npy" % (method, h, w), np.stack(planes, -1))


main()
