package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestInitBounds holds that a spec of init keeps no more rows in memory than that
// has room for, and bounds none that are few.
func TestInitBounds(t *testing.T) {
	for _, c := range []struct {
		rows        int
		raw, in     tensor.Shape
		limit       int
		calibration string // a file of its own: how many rows it has is not known
	}{
		{100_000, tensor.Shape{224, 224, 3}, nil, 1783, ""},
		{100_000, tensor.Shape{512, 512, 3}, tensor.Shape{32, 32, 3}, 0, ""},
		{100_000, tensor.Shape{28, 28, 1}, nil, 0, ""},
		{10_000, tensor.Shape{224, 224, 3}, nil, 0, ""},
		{-1, tensor.Shape{224, 224, 3}, nil, 0, ""},
		{100_000, tensor.Shape{224, 224, 3}, nil, 1783, "other"},
	} {
		d := &draft{rows: c.rows, example: c.raw, in: c.in, src: dataset.Source{Folder: "rows"}}
		d.calibration = c.calibration
		var text strings.Builder
		d.dataText(func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) })
		for _, line := range strings.Split(text.String(), "\n") {
			limited := strings.Contains(line, fmt.Sprintf("limit: %d}", c.limit))
			own := c.calibration != "" && strings.Contains(line, c.calibration)
			switch role, _, _ := strings.Cut(strings.TrimSpace(line), ":"); role {
			case "train":
				if strings.Contains(line, "limit") {
					t.Errorf("%+v: %s", c, line)
				}
			case "calibration", "test":
				if limited != (c.limit > 0 && !own) {
					t.Errorf("%+v: %s", c, line)
				}
			}
		}
	}
}
