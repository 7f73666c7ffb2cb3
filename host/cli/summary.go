package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
)

func (a *app) summaryCommand() *cobra.Command {
	var s specFlags
	c := &cobra.Command{
		Use:   "summary SPEC",
		Short: "Print layers, output shapes, parameters and FLOPs",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			e, err := host.Load(args[0], s.set, a.c, a.options())
			if err != nil {
				return err
			}
			return a.printSummary(c.Context(), e, nil)
		},
	}
	s.add(c, "set")
	return c
}

// printSummary prints the detector's layers, and for a dry run an estimate of its cost
// and what pricesOf says of other presets; nil: it is no dry run.
func (a *app) printSummary(ctx context.Context, e *host.Experiment, pricesOf func() ([]price, error)) error {
	layers, err := e.Describe()
	if err != nil {
		return err
	}
	var prices []price
	var whole *host.Price
	if pricesOf != nil {
		if whole, err = e.Price(ctx, true); err != nil {
			a.options().Logger.Debug("the time of a run could not be measured", "error", err)
		}
		if prices, err = pricesOf(); err != nil {
			return err
		}
	}
	if a.json {
		params, flops := vae.Total(layers)
		out := map[string]any{"layers": layerRows(layers), "params": params, "flops": flops}
		if pricesOf != nil {
			out["estimate"] = e.Estimate(layers)
		}
		if prices != nil {
			out["presets"] = prices
		}
		if whole != nil {
			out["run"] = whole
		}
		return json.NewEncoder(a.stdout).Encode(out)
	}
	if err := vae.WriteTable(a.stdout, layers); err != nil {
		return err
	}
	if pricesOf != nil {
		t := e.Estimate(layers)
		fmt.Fprintf(a.stdout, "training: %d steps per epoch, about %.3g GFLOP each; about %s, not counting the classifier\n", t.Steps, t.GFLOPPerStep, t.Time)
		if e.Spec.Train != nil && e.Spec.Train.Harden != nil {
			fmt.Fprintf(a.stdout, "classifier: about %d answers, with gradients for %d of them\n", t.Queries, t.GradientRows)
		}
		if t.RobustRows > 0 {
			fmt.Fprintf(a.stdout, "val_robust: %d validation rows are attacked after %d of %d epochs, both counts with them\n", t.RobustRows, t.RobustTimes, e.Spec.Train.Epochs)
		}
		if prices != nil {
			fmt.Fprintf(a.stdout, "%s\n", priceLine(prices))
		}
		if whole != nil {
			fmt.Fprintln(a.stdout, wholeLine(whole))
		}
		if t.Streamed {
			fmt.Fprintln(a.stdout, "rows: they stay in their file, which is read once to check it, once for each look that a step of data takes, once for the classifier's predictions, and once an epoch")
		}
		fmt.Fprintf(a.stdout, "memory: about %d MiB at the peak: the program, rows, weights, optimiser and activations; the classifier has its own\n", t.MemoryMiB)
		fmt.Fprintln(a.stdout, "nothing was written")
	}
	return nil
}

// wholeLine is what a run takes, part by part.
func wholeLine(p *host.Price) string {
	parts := make([]string, len(p.Phases))
	for i, phase := range p.Phases {
		parts[i] = fmt.Sprintf("%s %s", phase.Name, rounded(phase.Time))
	}
	line := fmt.Sprintf("run: about %s by what this machine does just now (%s)", rounded(p.Total), strings.Join(parts, ", "))
	if p.Left != nil {
		line += "; not counted: " + strings.Join(p.Left, ", ")
	}
	return line
}

// rounded is a time as it is worth saying.
func rounded(d time.Duration) time.Duration {
	switch {
	case d > time.Minute:
		return d.Round(5 * time.Second)
	case d > 10*time.Second:
		return d.Round(time.Second)
	}
	return d.Round(100 * time.Millisecond)
}

type layerRow struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Out    []int  `json:"output_shape"`
	Params int    `json:"params"`
	FLOPs  int64  `json:"flops"`
}

func layerRows(layers []nn.LayerInfo) []layerRow {
	rows := make([]layerRow, len(layers))
	for i, l := range layers {
		rows[i] = layerRow{l.Name, l.Kind, l.Out, l.Params, l.FLOPs}
	}
	return rows
}
