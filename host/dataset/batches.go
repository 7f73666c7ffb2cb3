package dataset

import "math/rand/v2"

// Order is a permutation of n rows that seed and epoch fix: the whole order in
// which an epoch visits them.
func Order(n int, seed uint64, epoch int) []int {
	return rand.New(rand.NewPCG(seed, uint64(epoch))).Perm(n)
}

// Batches cuts Order into batches of size rows, the last one shorter. The
// batches share one array.
func Batches(n, size int, seed uint64, epoch int) [][]int {
	if size < 1 {
		panic("dataset: batch size below 1")
	}
	order := Order(n, seed, epoch)
	out := make([][]int, 0, (n+size-1)/size)
	for lo := 0; lo < n; lo += size {
		out = append(out, order[lo:min(lo+size, n):min(lo+size, n)])
	}
	return out
}
