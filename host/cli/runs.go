package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/evaluate"
)

func (a *app) runsCommand() *cobra.Command {
	c := &cobra.Command{Use: "runs", Short: "List and compare runs"}
	var dir string
	list := &cobra.Command{
		Use:   "list",
		Short: "List the runs in a folder",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			found, err := filepath.Glob(filepath.Join(dir, "*", "spec.yaml"))
			if err != nil {
				return err
			}
			type row struct {
				Run      string   `json:"run"`
				State    string   `json:"state"` // trained, done or unfinished
				Accuracy *float64 `json:"accuracy"`
				FPR      *float64 `json:"fpr"`
			}
			rows := []row{}
			for _, f := range found {
				r := row{Run: filepath.Dir(f), State: "unfinished"}
				if _, err := os.Stat(filepath.Join(r.Run, "detector", "meta.json")); err == nil {
					r.State = "trained"
				}
				if rep, err := readReport(r.Run); err == nil {
					r.State, r.Accuracy, r.FPR = "done", &rep.Classifier.Accuracy, &rep.Clean.FPR
				}
				rows = append(rows, r)
			}
			if a.json {
				return json.NewEncoder(a.stdout).Encode(rows)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\taccuracy %s\tfalse-alarm rate %s\n", r.Run, r.State, rate(r.Accuracy), rate(r.FPR))
			}
			return w.Flush()
		},
	}
	list.Flags().StringVar(&dir, "dir", "runs", "folder that holds the runs")
	compare := &cobra.Command{
		Use:   "compare RUN RUN…",
		Short: "Compare the reports of runs side by side",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			reports := make([]*evaluate.Report, len(args))
			for i, dir := range args {
				r, err := readReport(dir)
				if err != nil {
					return err
				}
				reports[i] = r
			}
			rows := compareRows(reports)
			tests, note := paired(args)
			if a.json {
				out := []map[string]any{}
				for _, r := range rows {
					out = append(out, map[string]any{"figure": r.name, "values": r.values})
				}
				return json.NewEncoder(a.stdout).Encode(map[string]any{"runs": args, "figures": out, "paired": tests, "paired_note": note})
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "\t%s\n", strings.Join(args, "\t"))
			for _, r := range rows {
				fmt.Fprint(w, r.name)
				for _, v := range r.values {
					fmt.Fprint(w, "\t"+rate(v))
				}
				fmt.Fprintln(w)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			a.printPaired(args, tests, note)
			return nil
		},
	}
	c.AddCommand(list, compare)
	return c
}

// paired tests the first two runs against each other, if they judged their
// detectors on the same rows; note says why not, or what was left out.
func paired(args []string) (tests []evaluate.Comparison, note string) {
	tests = []evaluate.Comparison{}
	if len(args) != 2 {
		return tests, "no paired tests: they compare exactly two runs"
	}
	var scores [2]evaluate.Scores
	for i, dir := range args {
		data, err := runFile(dir, "scores.json")
		if err != nil {
			return tests, "no paired tests: " + err.Error()
		}
		if err := json.Unmarshal(data, &scores[i]); err != nil {
			return tests, fmt.Sprintf("no paired tests: %s: %v", filepath.Join(dir, "scores.json"), err)
		}
	}
	got, skipped, ok := evaluate.Compare(&scores[0], &scores[1])
	switch {
	case !ok:
		return tests, "no paired tests: the clean test rows of the runs differ"
	case len(skipped) > 0:
		note = "left out of the paired tests: " + strings.Join(skipped, ", ") + ", whose adversarial rows differ between the runs (another classifier or seed)"
	}
	return append(tests, got...), note
}

func (a *app) printPaired(args []string, tests []evaluate.Comparison, note string) {
	if len(tests) > 0 {
		fmt.Fprintf(a.stdout, "\nPaired tests, A = %s, B = %s, on the same successful attacks (p adjusted by Holm):\n", args[0], args[1])
	}
	for _, t := range tests {
		fmt.Fprintf(a.stdout, "%-16s AUC A − B %+.4f, DeLong p %.3g; detected by A alone %d, by B alone %d of %d, McNemar p %.3g\n",
			t.ID, float64(t.AUCDifference), float64(t.DeLongHolm), t.CaughtOnlyA, t.CaughtOnlyB, t.NSuccess, float64(t.McNemarHolm))
	}
	if note != "" {
		fmt.Fprintln(a.stdout, note)
	}
}

// runFile is a file of a run, or of the pack that a run became.
func runFile(dir, name string) ([]byte, error) {
	if pack.Is(dir) {
		return packedFile(dir, name)
	}
	return os.ReadFile(filepath.Join(dir, name))
}

func readReport(dir string) (*evaluate.Report, error) {
	data, err := runFile(dir, "report.json")
	if err != nil {
		return nil, err
	}
	r := &evaluate.Report{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "report.json"), err)
	}
	return r, nil
}

// rate is a figure with four digits, or a dash where there is none.
func rate(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.4f", *v)
}

// figure is one line of compare; nil where a run does not have it.
type figure struct {
	name   string
	values []*float64
}

func compareRows(reports []*evaluate.Report) []figure {
	var rows []figure
	at := map[string]int{}
	put := func(i int, name string, v float64) {
		if v != v {
			return
		}
		k, ok := at[name]
		if !ok {
			k = len(rows)
			at[name] = k
			rows = append(rows, figure{name, make([]*float64, len(reports))})
		}
		rows[k].values[i] = &v
	}
	for i, r := range reports {
		put(i, "classifier.accuracy", r.Classifier.Accuracy)
		put(i, "clean.fpr", r.Clean.FPR)
		put(i, "clean.accuracy_corrected", r.Clean.AccuracyCorrected)
		for _, t := range r.Attacks {
			put(i, "attacks."+t.ID+".success_rate", float64(t.SuccessRate))
			put(i, "attacks."+t.ID+".auc", float64(t.AUC))
			put(i, "attacks."+t.ID+".detected", float64(t.Detected))
			put(i, "attacks."+t.ID+".accuracy_corrected", t.AccuracyCorrected)
		}
		for _, t := range r.Adaptive {
			put(i, "adaptive."+t.ID+".evaded", float64(t.Evaded))
		}
	}
	return rows
}
