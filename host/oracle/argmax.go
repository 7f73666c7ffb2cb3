package oracle

// Argmax is the index of the largest entry of x, the first of equals; 0 if x
// is empty. NaN is never larger.
func Argmax[F float32 | float64](x []F) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// ArgmaxBut is the index of the largest entry of x other than x[skip], the
// first of equals; skip if there is no other.
func ArgmaxBut[F float32 | float64](x []F, skip int) int {
	best := -1
	for i, v := range x {
		if i != skip && (best < 0 || v > x[best]) {
			best = i
		}
	}
	if best < 0 {
		return skip
	}
	return best
}
