package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// attackFlags are the flags of attack.
type attackFlags struct {
	attack, out  string
	rows         dataFlags
	set, setSpec []string
	seed         uint64
	limit        int
	target       int // class; -1: none
	open         openFlags

	unconstrained bool
}

func (a *app) attackCommand() *cobra.Command {
	var f attackFlags
	c := &cobra.Command{
		Use:   "attack SPEC|DETECTOR --attack NAME --out adv.npz",
		Short: "Make adversarial examples against the classifier",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.attack == "" || f.out == "" {
				return usagef("attack needs --attack and --out")
			}
			if f.target < -1 {
				return usagef("--target %d: want a class, from 0", f.target)
			}
			if f.limit < 0 {
				return usagef("--limit %d: want 0 or more", f.limit)
			}
			if f.rows.labels != "" && f.rows.data == "" {
				return usagef("--labels needs --data")
			}
			if _, err := f.rows.options(a); err != nil {
				return err
			}
			if (f.open.base != "" || len(f.open.classifier) > 0) && len(f.setSpec) > 0 {
				return usagef("--base and --classifier are for a detector, --set-spec for a spec")
			}
			chosen, err := host.ParseAttack(f.attack, f.set, a.c)
			if err != nil {
				return UsageError{err}
			}
			return a.runAttack(cmd.Context(), args[0], f, chosen)
		},
	}
	c.Flags().StringVar(&f.attack, "attack", "", "name of the attack: see vaeguard list attack")
	c.Flags().StringArrayVar(&f.set, "set", nil, "set an option of the attack: eps=0.1")
	c.Flags().StringArrayVar(&f.setSpec, "set-spec", nil, "override a value of the spec: seed=3")
	f.rows.add(c.Flags(), a.c.Formats, "rows to attack (default: the spec's data.test)", "labels of --data: a file (default: its own, else the classifier's predictions)")
	c.Flags().StringVar(&f.out, "out", "", ".npz file to write")
	c.Flags().Uint64Var(&f.seed, "seed", 0, "seed of the attack's randomness")
	c.Flags().IntVar(&f.limit, "limit", 0, "number of rows to attack, from the first; 0: all")
	c.Flags().IntVar(&f.target, "target", -1, "number of the class to reach; rows already classified as it are not attacked; -1: any class but the label")
	c.Flags().BoolVar(&f.unconstrained, "unconstrained", false, "let the attack make rows that the data's constraints call impossible, for comparison")
	f.open.add(c)
	return c
}

func (a *app) runAttack(ctx context.Context, target string, f attackFlags, chosen attack.Attack) (err error) {
	set, err := a.withRows(target, f)
	if err != nil {
		return err
	}
	t, err := host.OpenTarget(ctx, target, set, a.c, f.open.options(a))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	t.Unconstrained = f.unconstrained
	rows, err := a.attacked(t, f)
	if err != nil {
		return err
	}
	if f.limit > 0 && f.limit < rows.X.N() {
		rows = rows.Slice(0, f.limit)
	}
	x, y := rows.X, rows.Labels
	task := a.progress().Task("attack "+f.attack, x.N())
	var targets []int
	if f.target >= 0 {
		targets = slices.Repeat([]int{f.target}, x.N())
	}
	adv, err := t.Attack(ctx, x, y, targets, chosen, f.seed, func(done, _ int) { task.Step(done, nil) })
	if err != nil {
		task.Abort()
		return err
	}
	task.Done()
	a.progress().Wait()
	space, err := t.ToRaw(ctx, adv, targets)
	if err != nil {
		return err
	}
	about := map[string]any{"attack": f.attack, "norm": adv.Ball, "eps": finite(adv.Eps), "seed": f.seed, "set": f.set, "version": host.Version(), "space": space}
	if adv.Illegal != nil {
		about["constrained"] = true
	}
	meta, err := json.Marshal(about)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(f.out, func(w *os.File) error { return dataset.WriteNPZ(w, adversarialArrays(adv, string(meta))) }); err != nil {
		return err
	}
	success := 0
	for _, s := range adv.Success {
		if s {
			success++
		}
	}
	for _, w := range adv.Warnings {
		fmt.Fprintln(a.stderr, "warning: "+w)
	}
	if a.json {
		warnings := append([]string{}, adv.Warnings...)
		return json.NewEncoder(a.stdout).Encode(map[string]any{"n": x.N(), "success": success, "out": f.out, "warnings": warnings})
	}
	fmt.Fprintf(a.stdout, "attack succeeded on %d of %d rows; written to %s\n", success, x.N(), f.out)
	return nil
}

// withRows are the overrides of a spec, which may have no section data: then the rows
// of --data say what a row is.
func (a *app) withRows(target string, f attackFlags) ([]string, error) {
	if _, err := artifact.Resolve(target); err == nil || f.rows.data == "" || pack.Is(target) {
		return f.setSpec, nil
	}
	e, err := host.Load(target, f.setSpec, a.c, a.options())
	if err != nil {
		return nil, err
	}
	defer func() { _ = e.Close() }() // nothing was read
	if e.Spec.Data.Describing() != "" {
		return f.setSpec, nil
	}
	path, err := filepath.Abs(f.rows.data)
	if err != nil {
		return nil, err
	}
	key := "file"
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		key = "folder"
	}
	source := fmt.Sprintf("%s: %q", key, path)
	if f.rows.label != "" {
		source += fmt.Sprintf(", label: %q", f.rows.label)
	}
	return append(slices.Clone(f.setSpec), "data.test={"+source+"}"), nil
}

// attacked are the rows to attack, as the guard takes them.
func (a *app) attacked(t *host.Target, f attackFlags) (*dataset.Data, error) {
	if f.rows.data == "" {
		return t.Experiment.Rows(dataset.RoleTest)
	}
	o, err := f.rows.options(a)
	if err != nil {
		return nil, err
	}
	return t.Experiment.Read(f.rows.data, o)
}

// finite is v, or nil where JSON has no number for it.
func finite(v float64) any {
	if v > 1e300 {
		return nil
	}
	return v
}

func adversarialArrays(adv *attack.Adversarial, meta string) []dataset.Array {
	n := tensor.Shape{adv.X.N()}
	norms := make([]float32, len(adv.Norm))
	for i, v := range adv.Norm {
		norms[i] = float32(v)
	}
	int64s := func(v []int) []int64 {
		out := make([]int64, len(v))
		for i, x := range v {
			out[i] = int64(x)
		}
		return out
	}
	return []dataset.Array{
		floats("x", adv.X), floats("x_adv", adv.XAdv),
		{Name: "y", Shape: n, Data: int64s(adv.Y)}, {Name: "predicted", Shape: n, Data: int64s(adv.Predicted)},
		{Name: "predicted_adv", Shape: n, Data: int64s(adv.PredictedAdv)}, {Name: "success", Shape: n, Data: adv.Success},
		{Name: "norm", Shape: n, Data: norms}, {Name: "queries", Shape: n, Data: adv.Queries}, {Name: "meta", Data: meta},
	}
}
