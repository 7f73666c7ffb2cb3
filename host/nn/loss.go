package nn

import (
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// CrossEntropy is the sparse categorical cross-entropy of logits (N, classes)
// with class indices: the mean of −log softmax(logits)[label] over the batch.
// It fills dlogits, of the logits' shape, with its gradient, and counts the
// rows whose first largest logit is the label. dlogits may be logits. A label
// out of range panics.
func CrossEntropy(k *kernel.Engine, dlogits, logits *tensor.Tensor, labels []int) (loss float64, correct int) {
	n, classes := logits.N(), logits.Stride()
	if len(labels) != n || len(dlogits.Data) != len(logits.Data) {
		panic("nn: cross-entropy: lengths differ")
	}
	if n == 0 {
		return 0, 0
	}
	for i, label := range labels {
		if label < 0 || label >= classes {
			panic("nn: cross-entropy: label out of range")
		}
		if argmax(logits.Row(i)) == label {
			correct++
		}
	}
	k.LogSoftmax(dlogits.Data, logits.Data, classes)
	for i, label := range labels {
		loss -= float64(dlogits.Data[i*classes+label])
	}
	k.Exp(dlogits.Data, dlogits.Data)
	for i, label := range labels {
		dlogits.Data[i*classes+label]--
	}
	k.Scale(dlogits.Data, dlogits.Data, 1/float32(n), 0)
	return loss / float64(n), correct
}

func argmax(row []float32) int {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return best
}
