package watch

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestRefuses: a client who has asked about nearly the same input too often is refused for a while, over a reload too, and
// then begins anew; others are not, and without a limit nobody is.
func TestRefuses(t *testing.T) {
	d := servetest.Train(t, components(), filepath.Join(t.TempDir(), "d"), 0).Open(t)
	now := time.Now()
	var told []Alarm
	b := NewBoard(Options{Refuse: 5, RefuseFor: time.Minute, Told: func(a Alarm) { told = append(told, a) }})
	b.now = func() time.Time { return now }
	one, two := &version{"m", "1", d}, &version{"m", "2", d}
	x := tensor.New(1, 64)
	for i := range x.Data {
		x.Data[i] = float32(i*i%64) / 64
	}
	ask := func(b *Board, m *version, client string) error {
		e := m.event()
		x.Data[7] += 1.0 / 4096
		e.Request.Client, e.Request.Rows = client, &dataset.Data{X: x.Clone()}
		if err := b.Admit(m, e.Request); err != nil {
			return err
		}
		b.Judged(e)
		return nil
	}
	b.Opened(one)
	const mine, neighbour = "2001:db8::1", "2001:db8::2"
	for i := range 6 { // the first is like none
		if err := ask(b, one, mine); err != nil {
			t.Fatalf("query %d: %v", i, err)
		}
	}
	if want := (Alarm{Kind: "refused", Model: "m", Version: "1", Client: "2001:db8::/64", Near: 5, Rows: 6}); len(told) != 2 || told[0].Kind != "similar" || told[1] != want {
		t.Errorf("told %+v, want the last to be %+v", told, want)
	}
	var over *judge.OverloadedError
	for _, name := range []string{mine, neighbour} {
		if err := ask(b, one, name); !errors.As(err, &over) || !over.Client || over.After != time.Minute || strings.Contains(over.Reason, name) {
			t.Errorf("%s after 5 near-duplicates: %v", name, err)
		}
	}
	if err := ask(b, one, "10.0.0.1"); err != nil {
		t.Errorf("another client: %v", err)
	}
	b.Opened(two)
	b.Closed(one)
	now = now.Add(59 * time.Second)
	if err := ask(b, two, mine); !errors.As(err, &over) || over.After != time.Second {
		t.Errorf("after a reload: %v", err)
	}
	now = now.Add(time.Second)
	for i := range 6 {
		if err := ask(b, two, mine); err != nil {
			t.Fatalf("query %d after a minute: %v", i, err)
		}
	}
	if err := ask(b, two, mine); err == nil {
		t.Error("a client who goes on is not refused again")
	}

	open := NewBoard(Options{})
	open.Opened(one)
	for range 50 {
		if err := ask(open, one, mine); err != nil {
			t.Fatalf("without a limit: %v", err)
		}
	}
}
