package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/check"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func (a *app) pluginCommand() *cobra.Command {
	c := &cobra.Command{Use: "plugin", Short: "Discover, check, pin and run classifier plugins"}
	c.AddCommand(a.pluginListCommand(), a.pluginCheckCommand(), a.pluginLockCommand(), a.pluginPredictCommand())
	return c
}

func (a *app) pluginListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the plugins that a spec can name",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			found, err := host.Plugins().List()
			if err != nil {
				return err
			}
			if a.json {
				type row struct {
					Name    string `json:"name"`
					Shipped bool   `json:"shipped"`
					Version string `json:"version,omitempty"`
					Summary string `json:"summary,omitempty"`
					Dir     string `json:"dir,omitempty"`
				}
				rows := []row{}
				for _, p := range found {
					rows = append(rows, row{p.Name, p.Shipped, p.Manifest.Version, p.Manifest.Summary, p.Dir})
				}
				return json.NewEncoder(a.stdout).Encode(rows)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, p := range found {
				where := p.Dir
				if p.Shipped {
					where = "shipped"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Name, p.Manifest.Version, where, p.Manifest.Summary)
			}
			return w.Flush()
		},
	}
}

// pluginFlags say how to start a plugin by hand.
type pluginFlags struct {
	config     string
	preprocess string
	sha256     string
	confine    string
	classes    int
}

func (f *pluginFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.config, "config", "", "JSON or YAML file with the plugin's config")
	c.Flags().StringVar(&f.preprocess, "preprocess", "", "classifier.preprocess of a spec: a YAML or JSON file, or {scale: 255, …}; rows are those before it")
	c.Flags().StringVar(&f.sha256, "sha256", "", "digest that the plugin must have, else it is not started")
	c.Flags().StringVar(&f.confine, "confine", "auto", "classifier.confine of a spec: auto, on or off")
	c.Flags().IntVar(&f.classes, "classes", 0, "number of classes, for plugins that learn it from the data")
}

// start starts a plugin with its config, unchecked. example may be nil.
func (a *app) start(cmd *cobra.Command, name string, f pluginFlags, example tensor.Shape) (launch.Plugin, *launch.Classifier, error) {
	p, err := host.FindPlugin(name)
	if err != nil {
		return p, nil, err
	}
	p.Command.SHA256 = f.sha256
	conf := sdk.Config{JSON: []byte("{}"), InputShape: example, Classes: f.classes}
	base := "."
	if f.config != "" {
		if conf.JSON, err = host.ReadConfig(f.config); err != nil {
			return p, nil, UsageError{err}
		}
		base = filepath.Dir(f.config)
	}
	if conf.BaseDir, err = filepath.Abs(base); err != nil {
		return p, nil, err
	}
	o := launch.Options{Command: p.Command, Config: conf, Logger: a.logger().Named("plugin"),
		Threads: a.threads, Checks: launch.ChecksOff}
	if o.Confine, err = launch.ParseConfine(f.confine); err != nil {
		return p, nil, usagef("--%v", err)
	}
	if f.preprocess != "" {
		if o.Preprocess, err = host.ReadPreprocess(f.preprocess); err != nil {
			return p, nil, UsageError{err}
		}
	}
	cl, err := launch.Start(cmd.Context(), o)
	return p, cl, err
}

func (a *app) pluginCheckCommand() *cobra.Command {
	var f pluginFlags
	var data, as string
	var shape []int
	c := &cobra.Command{
		Use:   "check NAME|PATH",
		Short: "Check that a plugin keeps the contract, gradients included",
		Long: "Check that a plugin keeps the contract: what it says of itself, its answers and gradients, for rows in any order and company and for calls at\n" +
			"the same time, and its process: large messages, a second start beside the first, its health, and its end when it is told to and when the host is gone.\n" +
			"What fails here would fail, or be wrong, in use. Exit code 4 if a check fails.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var rows *tensor.Tensor
			example := tensor.Shape(shape)
			if cmd.Flags().Changed("shape") {
				if err := example.Valid(1, maxCheckShape); err != nil {
					return usagef("--shape: %v", err)
				}
				if data != "" {
					return usagef("plugin check takes --shape or --data, whose rows have a shape")
				}
			}
			if data != "" {
				if rows, err = a.readAs(data, as); err != nil {
					return err
				}
				example = rows.Example()
			}
			p, cl, err := a.start(cmd, args[0], f, example)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, cl.Close()) }()
			info, err := cl.Info(cmd.Context())
			if err != nil {
				return err
			}
			findings := []check.Finding{{Name: "info", Severity: check.Pass,
				Message: fmt.Sprintf("starts and describes itself: %s %s; it is trained by a spec (classifier.train) and cannot predict yet", info.Name, info.Version)}}
			if info.Ready {
				if findings, err = cl.CheckThoroughly(cmd.Context(), rows); err != nil {
					return err
				}
			}
			process, err := cl.Conform(cmd.Context())
			if err != nil {
				return err
			}
			findings = append(findings, process...)
			findings = append(findings, heldFinding(cl.Confinement()))
			findings = append(findings, disagreements(p, info, f.preprocess != "")...)
			if a.json {
				if err := json.NewEncoder(a.stdout).Encode(findings); err != nil {
					return err
				}
			}
			failed := 0
			for _, x := range findings {
				if x.Severity == check.Fail {
					failed++
				}
				if !a.json {
					fmt.Fprintf(a.stdout, "%-5s %s\n", x.Severity, x)
				}
			}
			if failed > 0 {
				return &launch.Error{Op: "check", Plugin: args[0], Err: fmt.Errorf("%d of %d checks failed", failed, len(findings))}
			}
			return nil
		},
	}
	f.add(c)
	c.Flags().StringVar(&data, "data", "", "rows to check with (default: random rows in the legal range)")
	c.Flags().StringVar(&as, "as", "", asHelp)
	c.Flags().IntSliceVar(&shape, "shape", nil, "shape of a row, as the data would have it, for models that leave it open: 224,224,3")
	return c
}

// heldFinding says what the plugin's process is kept from, a warning where the system cannot do what
// is asked.
func heldFinding(c launch.Confinement) check.Finding {
	f := check.Finding{Name: "confine", Severity: check.Pass, Message: c.String()}
	if len(c.Missing) > 0 {
		f.Severity = check.Warn
	}
	return f
}

const asHelp = "SPEC or DETECTOR that prepares the rows of --data (default: they are in the units that the classifier takes)"

// maxCheckShape is how many numbers a row of plugin check may have.
const maxCheckShape = 1 << 24

// disagreements are where plugin.yaml and Describe say different things. A shape
// before preprocessing is not the plugin's own.
func disagreements(p launch.Plugin, info sdk.Info, preprocessed bool) []check.Finding {
	if p.Dir == "" {
		return nil
	}
	var out []check.Finding
	differ := func(what, manifest, described string) {
		out = append(out, check.Finding{Name: "manifest", Severity: check.Fail,
			Message: fmt.Sprintf("plugin.yaml has %s %s, Describe %s", what, manifest, described)})
	}
	if p.Manifest.Name != info.Name {
		differ("name", p.Manifest.Name, info.Name)
	}
	if p.Manifest.Version != "" && p.Manifest.Version != info.Version {
		differ("version", p.Manifest.Version, info.Version)
	}
	if want := p.Manifest.InputShape; want != nil && !want.Equal(info.InputShape) && !(preprocessed && want.Size() == info.InputShape.Size()) {
		differ("input_shape", want.String(), info.InputShape.String())
	}
	if want := p.Manifest.Classes; want != 0 && want != info.NumClasses {
		differ("classes", strconv.Itoa(want), strconv.Itoa(info.NumClasses))
	}
	return append(out, schemaFindings(p.Manifest.Schema(), info.Schema)...)
}

func (a *app) pluginLockCommand() *cobra.Command {
	file := launch.LockName
	c := &cobra.Command{
		Use:   "lock NAME|PATH…",
		Short: "Pin plugins by their digest, in " + launch.LockName,
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			lock, err := launch.ReadLock(file)
			if err != nil {
				return err
			}
			type pin struct {
				Plugin string `json:"plugin"`
				SHA256 string `json:"sha256"`
			}
			var pins []pin
			for _, name := range args {
				p, err := host.FindPlugin(name)
				if err != nil {
					return err
				}
				if err := lock.Set(name, p.Command); err != nil {
					return err
				}
				pins = append(pins, pin{name, "sha256:" + lock.Pin(name)})
			}
			if err := lock.Write(file); err != nil {
				return err
			}
			if a.json {
				return json.NewEncoder(a.stdout).Encode(map[string]any{"file": file, "pins": pins})
			}
			for _, p := range pins {
				fmt.Fprintf(a.stdout, "%s %s\n", p.Plugin, p.SHA256)
			}
			return nil
		},
	}
	c.Flags().StringVar(&file, "file", file, "the lock file")
	return c
}

func (a *app) pluginPredictCommand() *cobra.Command {
	var f pluginFlags
	var data, as, cotangent, out string
	c := &cobra.Command{
		Use:   "predict NAME|PATH --data X.npy --out Y.npz",
		Short: "Run a classifier by hand: its output, and its gradient for a cotangent",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if data == "" || out == "" {
				return usagef("plugin predict needs --data and --out")
			}
			x, err := a.readAs(data, as)
			if err != nil {
				return err
			}
			_, cl, err := a.start(cmd, args[0], f, x.Example())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, cl.Close()) }()
			y, err := cl.Predict(cmd.Context(), x)
			if err != nil {
				return err
			}
			arrays := []dataset.Array{floats("output", y)}
			if cotangent != "" {
				dy, err := a.readRows(cotangent, nil)
				if err != nil {
					return err
				}
				dx, err := cl.Gradient(cmd.Context(), x, dy)
				if err != nil {
					return err
				}
				arrays = append(arrays, floats("gradient", dx))
			}
			if err := atomicfile.Write(out, func(w *os.File) error { return dataset.WriteNPZ(w, arrays) }); err != nil || !a.json {
				return err
			}
			shapes := map[string]tensor.Shape{}
			for _, array := range arrays {
				shapes[array.Name] = array.Shape
			}
			return json.NewEncoder(a.stdout).Encode(map[string]any{"out": out, "arrays": shapes})
		},
	}
	f.add(c)
	c.Flags().StringVar(&data, "data", "", "inputs, (N, example…)")
	c.Flags().StringVar(&as, "as", "", asHelp)
	c.Flags().StringVar(&cotangent, "cotangent", "", "cotangents of the output, (N, classes)")
	c.Flags().StringVar(&out, "out", "", ".npz file to write")
	return c
}
