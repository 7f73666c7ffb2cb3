//go:build !amd64

package kernel

// opsOf is the level's table, or nil where the machine lacks it.
func opsOf(l Level) *ops {
	if l == Generic {
		return &genericOps
	}
	return nil
}

func vectorLanes(Level) int { panic("kernel: no vector level") }

func planeTile(Level, int) int { panic("kernel: no vector level") }

func runWalk(Level, *walk, int) { panic("kernel: no vector level") }

func runPlane(Level, *plane, int) { panic("kernel: no vector level") }

const hasPairs = false

func pairAlong(_, _ []float32, _, _, _, _ int) { panic("kernel: no vector level") }

func pairRows(_, _ []float32, _, _, _, _, _ int) { panic("kernel: no vector level") }

func runPanel(Level, bool, *panel, int, bool) { panic("kernel: no vector level") }

func packRows(Level, []float32, []float32, int, int, int, int) int { return 0 }

func transpose(Level, []float32, int, []float32, int, int, int) (rows, deep int) { return 0, 0 }

func peakLoop(_ Level, n int) (flop int) { return peakGo(n) }

func copyRows(_ Level, d, src []float32, dld, sld, rows, n int) {
	copyRowsGo(d, src, dld, sld, rows, n)
}

func addRows(_ Level, d, src []float32, dld, sld, rows, n int) {
	addRowsGo(d, src, dld, sld, rows, n)
}

func columnSums(_ Level, d []float64, x []float32, ld, rows int) { columnSumsGo(d, x, ld, rows) }

func columnSquares(_ Level, d []float64, x []float32, ld, rows int) { columnSquaresGo(d, x, ld, rows) }

func squares(_ Level, x []float32, s *[8]float64) { squaresGo(x, s) }
