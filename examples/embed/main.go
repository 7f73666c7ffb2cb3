// Command embed is a program of your own with a detector inside: it scores a
// batch of inputs and says what each one really is, or makes one without a file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/detect"
)

func main() {
	builtin.ServeIfPlugin() // first: shipped classifiers run as subprocesses of this program
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: embed DETECTOR ROWS\n       embed make DETECTOR")
		os.Exit(2)
	}
	do := func() error { return run(context.Background(), os.Args[1], os.Args[2], os.Stdout) }
	if os.Args[1] == "make" {
		do = func() error { return build(context.Background(), os.Args[2], os.Stdout) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

// run opens the detector and judges the rows of a file, .npz:KEY or folder.
func run(ctx context.Context, dir, rows string, w io.Writer) (err error) {
	components := builtin.Components()
	d, err := host.Open(dir, components) // verifies the files, starts the classifier
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	batch, err := d.Read(rows, host.ReadOptions{}) // prepared as the detector's spec says
	if err != nil {
		return err
	}
	// A detector may be used by many goroutines at once, as the handlers of a
	// server would: here one judges the first half, one the rest.
	n := batch.X.N()
	half := n / 2
	var results [2]*detect.Result
	var errs [2]error
	var wg sync.WaitGroup
	for i, part := range [2][2]int{{0, half}, {half, n}} {
		wg.Go(func() { results[i], errs[i] = d.DetectRows(ctx, batch.Slice(part[0], part[1]), detect.Include{}) })
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	n = 0
	for _, r := range results {
		for i, flagged := range r.Adversarial {
			verdict := "clean"
			if flagged {
				verdict = "ADVERSARIAL"
			}
			fmt.Fprintf(w, "%3d  score %8.5f  %-11s  predicted %d, corrected to %d\n", n, r.Score[i], verdict, r.Predicted[i], r.Corrected[i])
			n++
		}
	}
	return nil
}
