package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/bench"
)

func (a *app) benchCommand() *cobra.Command {
	var s specFlags
	var o host.BenchOptions
	var seconds float64
	c := &cobra.Command{
		Use:   "bench SPEC",
		Short: "Measure the machine's peak, how much of it the network reaches, and the plugin boundary",
		Long: "Measures on synthetic data: the processor's multiply-add peak, the matrix products of the\n" +
			"spec's layers, each layer, training steps, scoring, and a training step with the classifier\n" +
			"as a subprocess compared with one in the same process; what host and classifier save by\n" +
			"working at the same time; and what would help most. Figures are medians of interleaved\n" +
			"measurements.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !(seconds >= 0) {
				return usagef("--seconds %v: want 0 or more", seconds)
			}
			e, err := host.Load(args[0], s.set, a.c, a.options())
			if err != nil {
				return err
			}
			o.Budget = time.Duration(seconds * float64(time.Second))
			o.Progress = func(part string) { a.progress().Note("bench: %s", part) }
			r, err := e.Bench(cmd.Context(), o)
			if err != nil {
				return err
			}
			if a.json {
				return json.NewEncoder(a.stdout).Encode(r)
			}
			a.printBench(r)
			return nil
		},
	}
	s.add(c, "set")
	c.Flags().BoolVar(&o.NoPlugin, "no-plugin", false, "do not start the classifier")
	c.Flags().BoolVar(&o.StepsOnly, "steps-only", false, "measure only training steps and scoring")
	c.Flags().Float64Var(&seconds, "seconds", 2, "approximate duration of each measurement, in seconds")
	return c
}

// printBench prints the result for people.
func (a *app) printBench(r *bench.Result) {
	out := func(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }
	out("peak %.1f GFLOP/s per thread (median %.1f), level %s, %d threads\n", r.FMAPeak, r.FMAMedian, r.Level, r.Threads)
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "product, one thread\tpass\tm\tn\tk\tGFLOP/s\tshare\tbest\tthreads\t")
	for _, g := range r.Gemm {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%.1f\t%.2f\t%.2f\t×%.2f\t\n", g.Layer, g.Pass, g.M, g.N, g.K, g.GFLOPS, g.Share, g.Best, g.Speedup)
	}
	fmt.Fprintln(w, "\t\t\t\t\t\t\t\t\t")
	fmt.Fprintln(w, "layer\t\tforward ms\tbackward ms\tMFLOP\t\tshare\tbest\t\t")
	for _, l := range r.Layers {
		fmt.Fprintf(w, "%s\t\t%.3f\t%.3f\t%.1f\t\t%.2f\t%.2f\t\t\n", l.Name, l.Forward, l.Backward, l.MFLOP, l.Share, l.Best)
	}
	_ = w.Flush()
	t := r.Train
	out("\ntraining step, batch %d: %.3f ms, %.0f images/s, share of peak %.2f, %.2f MFLOP per image, %d params", t.Batch, t.MS, t.Images, t.Share, t.MFLOP, t.Params)
	p := r.Parts
	out("  auto-encoder %.3f ms, classifier %.3f, transport %.3f, optimiser %.3f; %.1f allocations in the engine", p.VAE, p.Plugin, p.Transport, p.Optimizer, r.Allocs)
	if q := r.Precision; q != nil {
		by := "AVX512_BF16"
		if !q.Native {
			by = "float32 instructions, for want of AVX512_BF16"
		}
		out("  bf16 by %s; the host alone:", by)
		against := func(what string, a *bench.Against) {
			if a != nil {
				out("    %s: %.3f ms, in float32 %.3f: ratio %.3f", what, a.BF16, a.Float32, a.Ratio)
			}
		}
		against("training step", q.Train)
		against(fmt.Sprintf("scoring %d rows", q.Rows), q.Score)
	}
	if b := r.Boundary; b != nil {
		out("  classifier as a subprocess %.3f ms, in process %.3f: ratio %.3f", b.Subprocess, b.InProcess, b.Ratio)
	}
	if o := r.Overlap; o != nil {
		type saved struct {
			what string
			bench.Saved
		}
		parts := []saved{{"training step", o.Train}, {fmt.Sprintf("scoring %d rows", o.Rows), o.Score}}
		if o.Attack != nil {
			parts = append(parts, saved{fmt.Sprintf("attack step, %d rows", o.AttackRows), *o.Attack})
		}
		for _, part := range parts {
			out("  %s: host %.3f ms, classifier %.3f; in turns %.3f, overlapped %.3f: ratio %.3f, %.0f %% of the shorter side hidden",
				part.what, part.Host, part.Classifier, part.Turns, part.Both, part.Ratio, 100*part.Hidden)
		}
	}
	sizes := make([]int, 0, len(r.Score))
	for key := range r.Score {
		if n, err := strconv.Atoi(key); err == nil {
			sizes = append(sizes, n)
		}
	}
	slices.Sort(sizes)
	for _, n := range sizes {
		s := r.Score[strconv.Itoa(n)]
		out("scoring, batch %d: %.3f ms, %.0f images/s", n, s.MS, s.Images)
	}
	if q := r.Asked; q != nil {
		out("rows sent to the classifier: %.2f per example and epoch of training (%.0f without keeping clean answers), %.0f per scored instance (%.0f)",
			q.Training, q.TrainingReference, q.Scoring, q.ScoringReference)
	}
	out("%s", r.Verdict)
}
