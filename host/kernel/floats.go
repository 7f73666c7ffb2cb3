package kernel

// largeFloats is from how many numbers on huge pages are asked for: 4 MiB.
const largeFloats = 1 << 20

// Floats is n zeros. Large ones are in huge pages where the system has them for
// those who ask (Linux's madvise), so that a pass over them waits less for
// addresses.
func Floats(n int) []float32 {
	d := make([]float32, n)
	if n >= largeFloats {
		hugePages(d)
	}
	return d
}
