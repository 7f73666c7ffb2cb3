package traffic_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
	"github.com/vaeguard/vaeguard/host/serve/traffic"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func components() host.Components { return servetest.Components(builtin.Components()) }

func TestMain(m *testing.M) {
	host.ServeIfPlugin(components())
	os.Exit(m.Run())
}

// one is a server's models: the one that there is.
type one struct {
	judge.Models
	guard *judge.Guard
}

// Lease implements judge.Models.
func (o one) Lease(string, string) (judge.Model, func(), error) { return o.guard, func() {}, nil }

// seen counts rows by client, and those that are none of the rows.
type seen struct {
	mu       sync.Mutex
	rows     map[string]int
	distinct map[string]map[string]bool
	errs     []error
	asked    int // requests
}

// clock goes on by a second with every 200 requests, so that as many come in a phase
// however busy the machine is.
func (s *seen) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Unix(0, 0).Add(time.Duration(s.asked) * time.Second / 200)
}

// Judged implements judge.Watcher.
func (s *seen) Judged(e judge.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if e.Err != nil {
		s.errs = append(s.errs, e.Err)
		return
	}
	client := e.Request.Client
	if s.distinct[client] == nil {
		s.distinct[client] = make(map[string]bool)
	}
	for i := range e.Request.N() {
		s.rows[client]++
		s.distinct[client][key(e.Request.Rows.X.Row(i))] = true
	}
}

func key(row []float32) string {
	var b strings.Builder
	for _, v := range row {
		b.WriteByte(byte(v * 255))
	}
	return b.String()
}

// TestRun goes through one round: each phase is told, users send nothing twice, and
// who asks the server is one client who sends more than anybody.
func TestRun(t *testing.T) {
	c := components()
	d := servetest.Train(t, c, filepath.Join(t.TempDir(), "guard"), 0).Open(t)
	s := &seen{rows: make(map[string]int), distinct: make(map[string]map[string]bool)}
	g := judge.New(d, judge.Options{Name: "small", MaxRows: 8, Queue: 64, Watchers: []judge.Watcher{s}})
	t.Cleanup(func() { g.Close(context.Background()) })
	rows, err := d.Experiment.Rows(dataset.RoleCalibration)
	if err != nil {
		t.Fatal(err)
	}
	o := traffic.Options{Models: one{guard: g}, Model: "small", Rows: rows, Rate: 200, Phase: 400 * time.Millisecond, Seed: 1}
	for _, name := range []string{"fgsm", "square"} {
		a, err := host.ParseAttack(name, []string{"eps=0.2"}, c)
		if err != nil {
			t.Fatal(err)
		}
		o.Attacks = append(o.Attacks, traffic.Attack{Name: name, Attack: a})
	}
	noise, err := c.Corruptions.Lookup("gaussian_noise")
	if err != nil {
		t.Fatal(err)
	}
	o.Corruptions = []evaluate.NamedCorruption{{Name: "gaussian_noise", Corruption: noise}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var phases []string
	o.Tell = func(phase string) {
		if phases = append(phases, phase); len(phases) == 5 {
			cancel()
		}
	}
	if err := traffic.Run(ctx, o.WithClock(s.clock)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"clean rows", "fgsm, among clean rows", "square, by one client who asks again and again", "drift: gaussian_noise", "clean rows"}; !slices.Equal(phases, want) {
		t.Errorf("phases %q, want %q", phases, want)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, err := range s.errs {
		if !errors.Is(err, context.Canceled) { // the last one's
			t.Errorf("a request failed: %v", err)
		}
	}
	for _, client := range []string{"user-1", "stranger-1", "prober-1"} {
		if s.rows[client] == 0 {
			t.Errorf("%s sent nothing: only %v did", client, slices.Sorted(maps.Keys(s.rows)))
		}
	}
	for client, n := range s.rows {
		if strings.HasPrefix(client, "user-") && (n > 40 || len(s.distinct[client]) < n) {
			t.Errorf("%s sent %d rows, %d of them different: want at most 40, all different", client, n, len(s.distinct[client]))
		}
	}
	if n := len(s.distinct["prober-1"]); n < 5 {
		t.Errorf("the one who asks has asked about %d rows", n)
	}
}

// TestRunFails: what is wrong for good ends it.
func TestRunFails(t *testing.T) {
	d := servetest.Train(t, components(), filepath.Join(t.TempDir(), "guard"), 0).Open(t)
	g := judge.New(d, judge.Options{Name: "small", MaxRows: 8, Queue: 64})
	t.Cleanup(func() { g.Close(context.Background()) })
	rows := &dataset.Data{X: tensor.New(1, 3), Labels: []int{0}}
	err := traffic.Run(t.Context(), traffic.Options{Models: one{guard: g}, Rows: rows, Rate: 100, Phase: time.Minute})
	if err == nil || !strings.HasPrefix(err.Error(), "clean rows: ") {
		t.Errorf("rows of another shape: %v", err)
	}
}
