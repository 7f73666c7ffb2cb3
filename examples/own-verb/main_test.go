package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli/clitest"
)

// TestMain makes the test binary the program of the scripts, and the plugins
// that it starts.
func TestMain(m *testing.M) {
	clitest.Main(m, builtin.Components(), map[string]func(){"own-verb": main})
}

func TestCount(t *testing.T) {
	for _, c := range []struct {
		name   string
		scores []float64
		bins   int
		want   []bar
	}{
		{"spread", []float64{0, 1, 2, 3.9, 4}, 2, []bar{{0, 2, 2}, {2, 4, 3}}},
		{"one bar", []float64{-1, 5}, 1, []bar{{-1, 5, 2}}},
		{"all equal", []float64{3, 3}, 2, []bar{{3, 3, 2}, {3, 3, 0}}},
		{"nothing", nil, 3, nil},
	} {
		if got := count(c.scores, c.bins); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestPrint: the bars are in proportion, and one row is still seen.
func TestPrint(t *testing.T) {
	var b strings.Builder
	s := spread{Rows: 501, Flagged: 1, Threshold: 0.5, Bars: []bar{{0, 1, 500}, {1, 2, 0}, {2, 3, 1}}}
	if err := s.print(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for i, want := range []int{40, 0, 1} {
		if got := strings.Count(lines[i], "█"); got != want {
			t.Errorf("bar %d is %d long, want %d", i, got, want)
		}
	}
	if want := "1 of 501 rows are above the threshold, 0.5"; lines[3] != want {
		t.Errorf("got %q, want %q", lines[3], want)
	}
}

func TestProgram(t *testing.T) { clitest.Run(t, "testdata", []string{"guard.yaml"}, nil) }
