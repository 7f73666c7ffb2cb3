package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/rundir"
)

func (a *app) runsCommand() *cobra.Command {
	c := &cobra.Command{Use: "runs", Short: "List and compare runs"}
	c.AddCommand(a.runsListCommand(), a.runsCompareCommand())
	return c
}

// runRow is one line of runs list. What a run does not have is null.
type runRow struct {
	Run      string           `json:"run"`
	Started  *string          `json:"started"` // RFC 3339, UTC
	State    string           `json:"state"`   // trained, done or unfinished
	Accuracy *float64         `json:"accuracy"`
	FPR      *float64         `json:"fpr"`
	Detected *evaluate.Number `json:"detected"` // least of its attacks, controls left out
	AUC      *evaluate.Number `json:"auc"`      // least of its attacks, controls left out
	Evaded   *evaluate.Number `json:"evaded"`   // by at least one adaptive attack
}

func (a *app) runsListCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the runs in a folder, the latest last",
		Long: "list prints for each run when it was started, how far it is, and its figures: accuracy and false-alarm rate on\n" +
			"clean rows, the least detected fraction and AUC of its attacks, and what adaptive attacks evade.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			found, err := os.ReadDir(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			rows := []runRow{}
			for _, f := range found {
				run := filepath.Join(dir, f.Name())
				if _, err := os.Stat(filepath.Join(run, rundir.SpecFile)); err == nil {
					rows = append(rows, rowOf(run))
				}
			}
			slices.SortStableFunc(rows, func(x, y runRow) int { return cmp.Compare(text(x.Started), text(y.Started)) })
			if a.json {
				return json.NewEncoder(a.stdout).Encode(rows)
			}
			if len(rows) == 0 {
				fmt.Fprintf(a.stderr, "no runs in %s\n", dir)
				return nil
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "run\tstarted\tstate\taccuracy\tfalse alarms\tdetected\tAUC\tevaded")
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Run, day(text(r.Started)), r.State, rate(r.Accuracy), rate(r.FPR),
					rate((*float64)(r.Detected)), rate((*float64)(r.AUC)), rate((*float64)(r.Evaded)))
			}
			return w.Flush()
		},
	}
	c.Flags().StringVar(&dir, "dir", "runs", "folder that holds the runs")
	return c
}

// rowOf is what a run's files tell.
func rowOf(dir string) runRow {
	r := runRow{Run: dir, State: "unfinished"}
	if at := started(dir); at != "" {
		r.Started = &at
	}
	if _, err := os.Stat(filepath.Join(dir, rundir.DetectorDir, artifact.MetaFile)); err == nil {
		r.State = "trained"
	}
	rep, err := readReport(dir)
	if err != nil {
		return r
	}
	r.State, r.Accuracy, r.FPR = "done", &rep.Classifier.Accuracy, &rep.Clean.FPR
	least := func(to **evaluate.Number, v evaluate.Number) {
		if v == v && (*to == nil || v < **to) {
			*to = &v
		}
	}
	for _, t := range rep.Attacks {
		if !t.Control {
			least(&r.Detected, t.Detected)
			least(&r.AUC, t.AUC)
		}
	}
	if u := rep.AdaptiveUnion; u != nil {
		least(&r.Evaded, u.Evaded)
	}
	return r
}

// started is when a run was started, or resumed last; "" if it does not say.
func started(dir string) string {
	var env struct {
		Started string `json:"started"`
	}
	data, err := runFile(dir, rundir.EnvironmentFile)
	if err != nil || json.Unmarshal(data, &env) != nil {
		return ""
	}
	return env.Started
}

// day is a time as people want it, in their zone; a dash if there is none.
func day(at string) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return "–"
	}
	return t.Local().Format("2006-01-02 15:04")
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
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
