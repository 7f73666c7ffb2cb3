package trackers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/vaeguard/vaeguard/host/track"
)

// MLflow writes to a tracking server by REST (mlflow.org/docs/latest/rest-api.html,
// version 2.0), or files as MLflow's file store has them.
type MLflow struct{}

// uriVariable is where MLflow's own programs find their tracking server.
const uriVariable = "MLFLOW_TRACKING_URI"

// Check implements track.Tracker.
func (MLflow) Check(target string) error {
	if target == "" {
		if target = os.Getenv(uriVariable); target == "" {
			return fmt.Errorf("want a server or a folder: mlflow:http://HOST:5000, mlflow:file:///DIR, or %s", uriVariable)
		}
	}
	if remote(target) {
		u, err := url.Parse(target)
		if err != nil || u.Host == "" {
			return errors.New("the address of the server is none: want http://HOST:PORT")
		}
		return nil
	}
	if _, ok := track.Local(target); !ok {
		return fmt.Errorf("%s is neither an address of http or https nor a folder", track.Shown(target))
	}
	return nil
}

func remote(target string) bool {
	return strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://")
}

// Start implements track.Tracker.
func (m MLflow) Start(ctx context.Context, r track.Run) (track.Log, error) {
	if r.Target == "" {
		r.Target = os.Getenv(uriVariable)
	}
	if err := m.Check(r.Target); err != nil {
		return nil, err
	}
	if remote(r.Target) {
		return startRemote(ctx, r)
	}
	return startStore(r)
}

// The most that MLflow takes of a name and of a param's value. Older servers than
// 2.9 take 500 characters of a value.
const (
	mostKey   = 250
	mostValue = 500
)

// key is a name with the characters that MLflow allows: letters, digits, and
// "_-. /", and no path that leaves its folder.
func key(name string) string {
	name = strings.NewReplacer("[", ".", "]", "").Replace(name)
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("_-. /", r):
			return r
		}
		return '_'
	}, name)
	parts := strings.Split(name, "/")
	for i, p := range parts {
		if strings.Trim(p, ". ") == "" {
			parts[i] = "_"
		}
	}
	name = strings.Join(parts, "/")
	return name[:min(len(name), mostKey)]
}

// cut is a value of a param, as long as it may be.
func cut(value string) string {
	if len(value) <= mostValue {
		return value
	}
	return strings.ToValidUTF8(value[:mostValue-len("…")], "") + "…"
}

// params are those of a run by the names that MLflow takes; of two that become the
// same the first.
func params(r track.Run) []track.Param {
	var out []track.Param
	seen := map[string]bool{}
	for _, p := range r.Params {
		if k := key(p.Name); !seen[k] {
			seen[k] = true
			out = append(out, track.Param{Name: k, Value: cut(p.Value)})
		}
	}
	return out
}

// told is the last that a server knows of a metric.
type told struct {
	step  int
	value float64
}

// news are the values that a run has not told before it was interrupted: it trains
// some epochs twice, to the same bits.
func news(before map[string]told, step int, values []track.Value) []track.Value {
	var out []track.Value
	for _, v := range values {
		v.Name = key(v.Name)
		if b, ok := before[v.Name]; ok && (step < b.step || step == b.step && v.Value == b.value) {
			continue
		}
		out = append(out, v)
	}
	return out
}

// status is an outcome as MLflow has it, with the file store's number.
func status(o track.Outcome) (name string, number int) {
	switch o {
	case track.Finished:
		return "FINISHED", 3
	case track.Failed:
		return "FAILED", 4
	}
	return "KILLED", 5
}
