package host_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestBadSpecs holds what is said of faults between the sections, all at once.
func TestBadSpecs(t *testing.T) {
	files, err := filepath.Glob("testdata/spec/*.bad.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			_, err := host.Load(f, nil, builtin.Components(), host.Options{})
			if err == nil {
				t.Fatal("no error")
			}
			got := []byte(filepath.ToSlash(err.Error()) + "\n")
			golden := strings.TrimSuffix(f, ".yml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant (%s, %v)\n%s", got, golden, err, want)
			}
		})
	}
}
