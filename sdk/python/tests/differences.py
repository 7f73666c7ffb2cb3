"""Central differences in the classifier's own precision."""

import numpy as np


def gradient_error(c, x, seed=0, step=1e-3):
    """max |dx − differences| over a few features, relative to the largest."""
    r = np.random.RandomState(seed)
    x = x.astype(np.float32)
    dy = r.randn(*c.predict(x.copy()).shape).astype(np.float32)
    dx = np.asarray(c.gradient(x.copy(), dy))
    assert dx.shape == x.shape
    worst = 0.0
    for i in r.permutation(x[0].size)[:12]:
        up, down = x.copy(), x.copy()
        up.reshape(len(x), -1)[:, i] += step
        down.reshape(len(x), -1)[:, i] -= step
        width = (up.astype(np.float64) - down).reshape(len(x), -1)[:, i]
        d = ((np.asarray(c.predict(up), np.float64) - c.predict(down)) * dy).sum(1) / width
        worst = max(worst, np.abs(d - dx.reshape(len(x), -1)[:, i]).max())
    return worst / max(1e-6, np.abs(dx).max())
