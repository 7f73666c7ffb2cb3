package artifact

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestHugeClassifierFile: a plugin leaves a file of 200 GiB that takes no space. It
// was read whole, which no memory holds.
func TestHugeClassifierFile(t *testing.T) {
	d := sample(t)
	file := filepath.Join(d.ClassifierDir, "model.safetensors")
	if err := os.Truncate(file, 200<<30); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "detector")
	if err := Save(dir, d, false); err == nil || !strings.Contains(err.Error(), "most that a detector may have") {
		t.Errorf("saved: %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("something was left: %v", err)
	}
	// What is large and allowed goes through, and is verified, in pieces.
	if err := os.Truncate(file, 128<<20); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := Save(dir, d, false); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%d MiB allocated for a file of 128", n>>20)
	}
}
