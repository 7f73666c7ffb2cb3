package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/atomicfile"
)

// initFlags are those of init.
type initFlags struct {
	data, label, id, header string
	calibration, test       string
	classifier, model       string
	name, out, size         string
	ignore                  []string
	force                   bool
	interactive             bool
}

func (a *app) initCommand() *cobra.Command {
	var f initFlags
	c := &cobra.Command{
		Use:   "init --data D [--label L] [--classifier C]",
		Short: "Write a spec for your data and your classifier",
		Long: "init looks at the data and the classifier and writes a commented spec that lints and runs: names, units and classes, what is made of\n" +
			"the rows, which rows train, calibrate and test, and an auto-encoder that fits. On a terminal it asks for what is missing.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.initSpec(cmd.Context(), f) },
	}
	fs := c.Flags()
	fs.StringVar(&f.data, "data", "", "rows with their classes: "+rowsHelp(a.c.Formats)+", or a named set")
	fs.StringVar(&f.label, "label", "", "where the classes are: a column of a table, a key of a .npz (default y, labels or label), or a file")
	fs.StringVar(&f.id, "id", "", "column that names a row")
	fs.StringSliceVar(&f.ignore, "ignore", nil, "columns that are no features: a,b")
	fs.StringVar(&f.header, "header", "", "true or false: whether the first line of a table of text is a header, where its names do not tell")
	fs.StringVar(&f.calibration, "calibration", "", "a file like --data for the threshold (default: part of --data)")
	fs.StringVar(&f.test, "test", "", "a file like --data for the evaluation (default: part of --data)")
	fs.StringVar(&f.classifier, "classifier", "", "model.onnx, model.py, the URL of a model server, or a plugin's name or path (default: one that is trained here)")
	fs.StringVar(&f.model, "model", "", "name of the model on the server")
	fs.StringVar(&f.size, "size", "", "height and width that images are brought to, 48x192, where the classifier leaves them open (default: as they are)")
	fs.StringVar(&f.name, "name", "", "name of the spec (default: that of --out)")
	fs.StringVar(&f.out, "out", "guard.yaml", "file to write")
	fs.BoolVar(&f.force, "force", false, "replace an existing file")
	return c
}

// initSpec looks, asks, writes, and holds what it wrote against lint.
func (a *app) initSpec(ctx context.Context, f initFlags) (err error) {
	f.interactive = terminal(a.stdin) && terminal(a.stderr)
	answers := bufio.NewReader(a.stdin)
	if f.data == "" && f.interactive {
		asked := &draft{app: a, answers: answers}
		if f.data, err = asked.ask("rows with their classes (a file, a folder or a named set):"); err != nil {
			return err
		}
	}
	if f.data == "" {
		return usagef("--data is missing: a file or folder of rows with their classes")
	}
	if f.header != "" && f.header != "true" && f.header != "false" {
		return usagef("--header %q: want true or false", f.header)
	}
	if _, err := os.Stat(f.out); err == nil && !f.force {
		return usagef("%s exists; --force replaces it", f.out)
	}
	if f.name == "" {
		f.name = plainText(strings.TrimSuffix(filepath.Base(f.out), filepath.Ext(f.out)))
	}
	if !plainName.MatchString(f.name) {
		return usagef("name %q: want letters, digits, - and _", f.name)
	}
	d := &draft{app: a, initFlags: f, dir: filepath.Dir(f.out), answers: answers}
	if err := d.parseSize(); err != nil {
		return err
	}
	if err := d.look(); err != nil {
		return err
	}
	if err := d.askClassifier(); err != nil {
		return err
	}
	if err := d.findClassifier(ctx); err != nil {
		return err
	}
	if err := d.reconcile(); err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir, 0o777); err != nil {
		return err
	}
	text, err := d.settle()
	if err != nil {
		return err
	}
	if err := atomicfile.Write(f.out, func(w *os.File) error { _, err := w.Write(text); return err }); err != nil {
		return err
	}
	e, err := host.LoadForLint(f.out, nil, a.c, a.options())
	if err == nil {
		defer func() { err = errors.Join(err, e.Close()) }()
		err = e.LintClassifier(ctx, true)
	}
	if err != nil {
		return fmt.Errorf("%s is written, and does not fit yet:\n%w", f.out, err)
	}
	if a.quiet {
		return nil
	}
	layers, err := e.Describe()
	if err != nil {
		return err
	}
	prices, err := a.prices(e, f.out, nil, d.asked)
	if err != nil {
		return err
	}
	t := e.Estimate(layers)
	besides := "not counting the classifier"
	if gradients := asking(t, d.asked); d.asked > 0 {
		besides = fmt.Sprintf("and about %s more for the classifier's gradients, as it answered just now", gradients.Round(time.Second))
	}
	fmt.Fprintf(a.stderr, "%s: %s; trains in about %s, %s.\n", f.out, d.summary(), t.Time, besides)
	if prices != nil {
		fmt.Fprintf(a.stderr, "%s\n", priceLine(prices))
	}
	for _, f := range d.failed {
		fmt.Fprintf(a.stderr, "the classifier fails a check, at which a run ends: %s\n", f)
	}
	fmt.Fprintf(a.stderr, "Look it through, then\n  vaeguard run %s\n", quote(f.out))
	return nil
}

var notPlain = regexp.MustCompile(`[^A-Za-z0-9_.+-]+`)

// plainText is a text as a name may be.
func plainText(s string) string {
	s = notPlain.ReplaceAllString(s, "-")
	if s == "" || s[0] >= '0' && s[0] <= '9' || s[0] == '-' || s[0] == '.' || s[0] == '+' {
		s = "guard-" + strings.TrimLeft(s, "-.+")
	}
	return s
}

func terminal(s any) bool {
	if in, ok := s.(*stdin); ok {
		s = in.r
	}
	f, ok := s.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// ask asks a question on a terminal; "" without an answer.
func (d *draft) ask(question string) (string, error) {
	fmt.Fprint(d.app.stderr, question+" ")
	if d.answers == nil {
		d.answers = bufio.NewReader(d.app.stdin)
	}
	line, err := d.answers.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimSpace(line), nil
}

// askClassifier asks for the classifier where none is named.
func (d *draft) askClassifier() (err error) {
	if d.classifier == "" && d.interactive {
		d.classifier, err = d.ask("classifier (model.onnx, model.py, a URL, a plugin's name; empty: train one here):")
	}
	return err
}
