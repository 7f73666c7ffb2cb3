package track_test

import (
	"context"
	"fmt"
	"time"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/track"
)

// Printer is a tracker of one's own: it prints what it is told. A main has it with
//
//	c.Trackers = c.Trackers.With(registry.Entry[track.Tracker]{Name: "printer", Default: Printer{}, Doc: "…"})
//
// and then every verb with the flag --track knows it.
type Printer struct{}

// Check refuses no target.
func (Printer) Check(string) error { return nil }

// Start begins a run.
func (Printer) Start(_ context.Context, r track.Run) (track.Log, error) {
	fmt.Printf("%s of %s\n", r.Name, r.Group)
	return Printer{}, nil
}

// ID is not needed: a printer resumes nothing.
func (Printer) ID() string { return "" }

// Metrics prints figures.
func (Printer) Metrics(_ context.Context, step int, _ time.Time, values []track.Value) error {
	fmt.Println(step, values)
	return nil
}

// Artifact prints the name of a file.
func (Printer) Artifact(_ context.Context, path string) error {
	fmt.Println(path)
	return nil
}

// Close prints how the run ended.
func (Printer) Close(_ context.Context, o track.Outcome) error {
	fmt.Println(o)
	return nil
}

func ExampleTracker() {
	table := registry.NewTable("tracker", registry.Entry[track.Tracker]{Name: "printer", Default: Printer{}, Doc: "prints what it is told"})
	chosen, err := track.Parse(table, []string{"printer"})
	if err != nil {
		panic(err)
	}
	s := track.Open(context.Background(), chosen, track.Run{Name: "first", Group: "digits"}, track.Settings{})
	s.Metrics(1, []track.Value{{Name: "loss", Value: 0.5}})
	s.Close(track.Finished)
	// Output:
	// first of digits
	// 1 [{loss 0.5}]
	// finished
}
