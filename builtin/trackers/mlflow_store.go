package trackers

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/track"
)

// storeRun is a run in a folder as MLflow's file store has it:
//
//	DIR/EXPERIMENT/meta.yaml
//	DIR/EXPERIMENT/RUN/meta.yaml
//	DIR/EXPERIMENT/RUN/{params,tags}/NAME   one value
//	DIR/EXPERIMENT/RUN/metrics/NAME         lines of: milliseconds value step
//	DIR/EXPERIMENT/RUN/artifacts/FILE
type storeRun struct {
	dir                  string // of the run
	experiment, id, name string
	start                int64 // milliseconds
	before               map[string]told
}

// startStore begins or resumes a run in a folder.
func startStore(r track.Run) (*storeRun, error) {
	root, _ := track.Local(r.Target)
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	s := &storeRun{name: r.Name, start: r.At.UnixMilli(), before: map[string]told{}}
	if s.experiment, err = experimentIn(root, r.Group, s.start); err != nil {
		return nil, err
	}
	if r.Resume && isHex(r.ID) {
		s.id, s.dir = r.ID, filepath.Join(root, s.experiment, r.ID)
		if _, err := os.Stat(filepath.Join(s.dir, storeMeta)); err == nil {
			if err := s.readMetrics(); err != nil {
				return nil, err
			}
			return s, s.meta(1, 0)
		}
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // it never fails
	s.id = hex.EncodeToString(id[:])
	s.dir = filepath.Join(root, s.experiment, s.id)
	for _, sub := range []string{"params", "tags", "metrics", "artifacts"} {
		if err := os.MkdirAll(filepath.Join(s.dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	for _, p := range params(r) {
		if err := s.write("params", p.Name, p.Value); err != nil {
			return nil, err
		}
	}
	for _, t := range []track.Param{{Name: "mlflow.runName", Value: r.Name}, {Name: "mlflow.source.name", Value: "vaeguard"}, {Name: "mlflow.source.type", Value: "LOCAL"}} {
		if err := s.write("tags", t.Name, t.Value); err != nil {
			return nil, err
		}
	}
	return s, s.meta(1, 0)
}

// storeMeta is the file that makes a folder a run, or an experiment.
const storeMeta = "meta.yaml"

// experimentIn finds the experiment of a name in a store, or makes it.
func experimentIn(root, name string, now int64) (string, error) {
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	line := "\nname: " + quoted(name) + "\n"
	plain := "\nname: " + name + "\n" // as MLflow writes what needs no quotes
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(root, e.Name(), storeMeta))
		if err != nil || !strings.Contains("\n"+string(text), "\nlifecycle_stage: active\n") {
			continue
		}
		if t := "\n" + string(text); strings.Contains(t, line) || strings.Contains(t, plain) || strings.Contains(t, "\nname: '"+strings.ReplaceAll(name, "'", "''")+"'\n") {
			return e.Name(), nil
		}
	}
	n, err := rand.Int(rand.Reader, big.NewInt(9e17))
	if err != nil {
		return "", err
	}
	id := n.Add(n, big.NewInt(1e17)).String() // 18 digits, as MLflow's own
	dir := filepath.Join(root, id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return id, text(filepath.Join(dir, storeMeta), fmt.Sprintf("artifact_location: %s\ncreation_time: %d\nexperiment_id: '%s'\nlast_update_time: %d\nlifecycle_stage: active\nname: %s\n",
		quoted(fileURL(dir)), now, id, now, quoted(name)))
}

// meta writes the run's meta.yaml. end is 0 while it runs.
func (s *storeRun) meta(status int, end int64) error {
	ended := "null"
	if end > 0 {
		ended = strconv.FormatInt(end, 10)
	}
	return text(filepath.Join(s.dir, storeMeta), fmt.Sprintf("artifact_uri: %s\nend_time: %s\nentry_point_name: ''\nexperiment_id: '%s'\nlifecycle_stage: active\nrun_id: %s\nrun_name: %s\nrun_uuid: %s\nsource_name: ''\nsource_type: 4\nsource_version: ''\nstart_time: %d\nstatus: %d\ntags: []\nuser_id: ''\n",
		quoted(fileURL(filepath.Join(s.dir, "artifacts"))), ended, s.experiment, s.id, quoted(s.name), s.id, s.start, status))
}

// readMetrics reads the last line of each metric, and when the run began.
func (s *storeRun) readMetrics() error {
	if data, err := os.ReadFile(filepath.Join(s.dir, storeMeta)); err == nil {
		_, rest, _ := strings.Cut(string(data), "\nstart_time: ")
		first, _, _ := strings.Cut(rest, "\n")
		if ms, err := strconv.ParseInt(first, 10, 64); err == nil {
			s.start = ms
		}
	}
	root := filepath.Join(s.dir, "metrics")
	return filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		if fields := strings.Fields(lines[len(lines)-1]); len(fields) >= 3 {
			v, err1 := strconv.ParseFloat(fields[1], 64)
			step, err2 := strconv.Atoi(fields[2])
			if err1 == nil && err2 == nil {
				s.before[filepath.ToSlash(name)] = told{step, v}
			}
		}
		return nil
	})
}

// ID implements track.Log.
func (s *storeRun) ID() string { return s.id }

// Metrics implements track.Log.
func (s *storeRun) Metrics(_ context.Context, step int, at time.Time, values []track.Value) error {
	for _, v := range news(s.before, step, values) {
		path := filepath.Join(s.dir, "metrics", filepath.FromSlash(v.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(f, "%d %s %d\n", at.UnixMilli(), python(v.Value), step)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// python is a number as Python reads it.
func python(v float64) string {
	switch {
	case math.IsNaN(v):
		return "nan"
	case math.IsInf(v, 1):
		return "inf"
	case math.IsInf(v, -1):
		return "-inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// Artifact implements track.Log.
func (s *storeRun) Artifact(_ context.Context, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	return atomicfile.Write(filepath.Join(s.dir, "artifacts", filepath.Base(path)), func(out *os.File) error {
		_, err := io.Copy(out, in)
		return err
	})
}

// Close implements track.Log.
func (s *storeRun) Close(_ context.Context, o track.Outcome) error {
	_, number := status(o)
	return s.meta(number, time.Now().UnixMilli())
}

func (s *storeRun) write(kind, name, value string) error {
	path := filepath.Join(s.dir, kind, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return text(path, value)
}

func text(path, content string) error {
	return atomicfile.Write(path, func(f *os.File) error {
		_, err := f.WriteString(content)
		return err
	})
}

// quoted is a text as a scalar of YAML in double quotes, which JSON's are.
func quoted(s string) string { return strconv.QuoteToASCII(s) }

// fileURL is the URL of a path.
func fileURL(path string) string {
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // C:/runs
	}
	return (&url.URL{Scheme: "file", Path: p}).String()
}

// isHex reports whether an ID is one of a run, and no path.
func isHex(id string) bool {
	_, err := hex.DecodeString(id)
	return err == nil && len(id) == 32
}
