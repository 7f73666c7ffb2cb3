package cli

import (
	"io"
	"slices"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vaeguard/vaeguard/host"
)

// files are the flags whose values a shell completes by itself: files and folders.
var files = []string{
	"attacks", "base", "cache", "calibration", "config", "cotangent", "data", "dir", "file", "html", "labels",
	"lock", "out", "preprocess", "report", "test",
}

// TestEveryValueIsDecided: each flag of each verb either has values to complete, or
// takes none, or takes a file: whoever adds one says which. So do arguments.
func TestEveryValueIsDecided(t *testing.T) {
	a := &app{c: host.Components{}, stdout: &sink{w: io.Discard}}
	seen := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.Name() == "completion" || c.HasParent() && c.Parent().Name() == "completion" {
			return
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			seen++
			if _, has := c.GetFlagCompletionFunc(f.Name); !has && f.NoOptDefVal == "" && !slices.Contains(files, f.Name) {
				t.Errorf("%s --%s: nothing says what a shell offers; see flagValues, or files above", c.CommandPath(), f.Name)
			}
		})
	}
	walk(a.root(nil))
	if seen < 100 {
		t.Errorf("only %d flags", seen)
	}
}
