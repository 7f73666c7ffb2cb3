// Logistic regression: logits = W·x + b, trained by gradient descent over all rows, from
// zero, so that the same rows give the same weights.

export class Softmax {
  constructor(features, classes, weights = new Float32Array(classes * (features + 1))) {
    Object.assign(this, { features, classes, weights }); // a row of each class, its bias last
  }

  // logits of n rows, (n, classes)
  predict(x, n) {
    const { features, classes, weights } = this;
    const out = new Float32Array(n * classes);
    for (let i = 0; i < n; i++)
      for (let c = 0; c < classes; c++) {
        const w = c * (features + 1);
        let sum = weights[w + features];
        for (let j = 0; j < features; j++) sum += weights[w + j] * x[i * features + j];
        out[i * classes + c] = sum;
      }
    return out;
  }

  // dx[n] = Σ_c dy[n, c] · W[c], (n, features)
  gradient(dy, n) {
    const { features, classes, weights } = this;
    const out = new Float32Array(n * features);
    for (let i = 0; i < n; i++)
      for (let j = 0; j < features; j++) {
        let sum = 0;
        for (let c = 0; c < classes; c++) sum += dy[i * classes + c] * weights[c * (features + 1) + j];
        out[i * features + j] = sum;
      }
    return out;
  }

  // one step down the gradient of the cross-entropy; gives its mean before the step
  step(x, labels, rate) {
    const { features, classes, weights } = this;
    const n = labels.length;
    const logits = this.predict(x, n);
    const d = new Float64Array(weights.length);
    let loss = 0;
    for (let i = 0; i < n; i++) {
      const row = logits.subarray(i * classes, (i + 1) * classes);
      const top = Math.max(...row);
      const e = Array.from(row, (v) => Math.exp(v - top));
      const sum = e.reduce((a, b) => a + b, 0);
      loss -= row[labels[i]] - top - Math.log(sum);
      for (let c = 0; c < classes; c++) {
        const dy = (e[c] / sum - (labels[i] === c ? 1 : 0)) / n;
        const w = c * (features + 1);
        for (let j = 0; j < features; j++) d[w + j] += dy * x[i * features + j];
        d[w + features] += dy;
      }
    }
    for (let k = 0; k < d.length; k++) weights[k] -= rate * d[k];
    return loss / n;
  }
}
