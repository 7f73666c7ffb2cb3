package rundir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunDirRefusesASecondHolder(t *testing.T) {
	path := t.TempDir() + "/run"
	d, err := Create(path, false, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, true, false); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second holder: %v, want an error that says in use", err)
	}
	if _, err := Create(path, false, true); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second holder with force: %v, want an error that says in use", err)
	}
	d.Close()
	if _, err := Create(path, false, false); err == nil || !strings.Contains(err.Error(), "--resume") {
		t.Errorf("existing run: %v, want an error that names --resume", err)
	}
	d, err = Create(path, false, true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := os.Stat(path + ".old-1/events.jsonl"); err != nil {
		t.Errorf("--force did not keep the old run: %v", err)
	}
}

func TestResumeOfNothingStarts(t *testing.T) {
	path := t.TempDir() + "/[run]" // a name that is a pattern too
	d, err := Create(path, true, false)
	if err != nil {
		t.Fatal(err)
	}
	half := path + "/checkpoints/.tmp-1"
	if err := os.WriteFile(half, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if d, err = Create(path, true, false); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if _, err := os.Stat(half); err == nil {
		t.Error("a temporary file of a dead process was kept")
	}
}

func TestMetricsReplaceAnEpochDoneAgain(t *testing.T) {
	path := t.TempDir() + "/run"
	for range 2 { // the second time as a resumed process
		d, err := Create(path, true, false)
		if err != nil {
			if d, err = Create(path, false, false); err != nil {
				t.Fatal(err)
			}
		}
		for e := 1; e <= 2; e++ {
			if err := d.Metrics(e, map[string]float64{"loss": float64(e), "val_loss": 0.5}); err != nil {
				t.Fatal(err)
			}
		}
		d.Close()
	}
	got, _ := os.ReadFile(path + "/metrics.csv")
	want := "epoch,loss,val_loss\n1,1,0.5\n2,2,0.5\n"
	if string(got) != want {
		t.Errorf("metrics.csv = %q, want %q", got, want)
	}
}

// TestNoRunIsResumed holds that a folder of somebody's files is left alone.
func TestNoRunIsResumed(t *testing.T) {
	path := t.TempDir()
	for _, name := range []string{"letter.txt", ".tmp-mine"} {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Create(path, true, false); err == nil || !strings.Contains(err.Error(), "not a run: there is nothing to resume") {
		t.Errorf("%v", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 2 {
		t.Errorf("left: %v, %v", entries, err)
	}
	early := filepath.Join(t.TempDir(), "run") // killed before it had its lock
	if err := os.MkdirAll(filepath.Join(early, "checkpoints"), 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := Create(early, true, false)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
}

// TestRemovedRunIsKnown holds that a run which is being removed, and whose
// remover is killed, is still one.
func TestRemovedRunIsKnown(t *testing.T) {
	d, err := Create(filepath.Join(t.TempDir(), "run"), false, false)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	stuck := d.File("zzz") // after the others by name
	if err := os.MkdirAll(filepath.Join(stuck, "in"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(stuck, 0o500); err != nil {
		t.Fatal(err)
	}
	if d.Remove() == nil {
		t.Skip("this user may remove what it may not write")
	}
	if err := os.Chmod(stuck, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(d.File(eventsName)); err == nil {
		t.Error("nothing was removed")
	}
	if foreign(d.Path) {
		t.Error("what is left is no run")
	}
}
