package builtin_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/health"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// centres are those of three classes of points in the plane, a, b and c.
var centres = [3][2]float64{{.2, .2}, {.8, .2}, {.5, .8}}

// points are n rows of a table with the columns u, v and class, spread about the centres
// of their classes, which have the given shares. move, nil: no, changes row i of class c.
func points(seed uint64, n int, shares [3]float64, move func(i, c int, p *[2]float64, label *string)) string {
	r := rand.New(rand.NewPCG(seed, 77))
	var b strings.Builder
	b.WriteString("u,v,class\n")
	for i := range n {
		c, at := 0, (float64(i)+.5)/float64(n)
		for at > shares[c] && c < 2 {
			at -= shares[c]
			c++
		}
		p := [2]float64{centres[c][0] + .05*r.NormFloat64(), centres[c][1] + .05*r.NormFloat64()}
		label := string(rune('a' + c))
		if move != nil {
			move(i, c, &p, &label)
		}
		fmt.Fprintf(&b, "%.5f,%.5f,%s\n", p[0], p[1], label)
	}
	return b.String()
}

// some is true of a share of rows, evenly.
func some(i int, share float64) bool {
	return int(float64(i+1)*share) > int(float64(i)*share)
}

var (
	even = [3]float64{1. / 3, 1. / 3, 1. / 3}
	rare = [3]float64{.49, .48, .03} // of c
)

// outlying moves a share of the rows of the classes from the centre of all outwards, by
// a factor.
func outlying(share, factor float64, classes ...int) func(int, int, *[2]float64, *string) {
	return func(i, c int, p *[2]float64, _ *string) {
		if some(i, share) && slices.Contains(classes, c) {
			for j, middle := range [2]float64{.5, .4} {
				p[j] = middle + factor*(p[j]-middle)
			}
		}
	}
}

// relabelled gives a share of the rows the next class.
func relabelled(share float64) func(int, int, *[2]float64, *string) {
	return func(i, c int, _ *[2]float64, label *string) {
		if some(i, share) {
			*label = string(rune('a' + (c+1+i%2)%3))
		}
	}
}

// away is how far off far moves rows.
const away = 40

func far(_, _ int, p *[2]float64, _ *string) { p[0], p[1] = p[0]+away, p[1]+away }

// guardTables are the tables that guards are made with, by role.
var guardTables = map[string]string{
	"train.csv":           points(1, 600, even, nil),
	"calibration.csv":     points(2, 600, even, nil),
	"validation.csv":      points(3, 600, even, nil),
	"noisy.csv":           points(4, 600, even, relabelled(.6)),
	"wrong.csv":           points(5, 600, even, relabelled(.06)),
	"rare.csv":            points(6, 600, rare, nil),
	"rarer.csv":           points(7, 600, [3]float64{.9, .06, .04}, nil),
	"outlying-c.csv":      points(8, 600, even, outlying(.3, .45, 2)),
	"outlying.csv":        points(9, 600, even, outlying(.11, .45, 0, 1, 2)),
	"extreme.csv":         points(10, 600, even, outlying(.17, 1.6, 0, 1, 2)),
	"farther.csv":         points(11, 600, even, outlying(.06, 1.6, 0, 1, 2)),
	"far-train.csv":       points(13, 600, even, far),
	"far-calibration.csv": points(14, 600, even, far),
	"far-validation.csv":  points(15, 600, even, far),
	"few-b.csv":           points(16, 600, [3]float64{.45, .1, .45}, nil),
	"coarse.csv": points(12, 600, even, func(_, _ int, p *[2]float64, _ *string) {
		for j := range p {
			p[j] = float64(int(p[j]*20)) / 20
		}
	}),
}

// linear are weights of softmax regression that is as sure as sharp says, of whatever
// centre is nearest; 0: it says the same of every row.
// All are so far off as off says.
func linear(sharp float32, off float64) []safetensors.Named {
	k, b := tensor.New(2, 3), tensor.New(3)
	for c, m := range centres {
		m[0], m[1] = m[0]+off, m[1]+off
		b.Data[c] = -sharp * float32(m[0]*m[0]+m[1]*m[1]) / 2
		for j := range m {
			k.Row(j)[c] = sharp * float32(m[j])
		}
	}
	return []safetensors.Named{{Name: "0.kernel", Tensor: k}, {Name: "0.bias", Tensor: b}}
}

// affine are weights of an auto-encoder with a code of the given width, whose
// reconstructions are at·row + to. Of the code the first two dimensions count, and others
// are 0; with none of at, all are.
func affine(width int, at [2][2]float32, to [2]float32) []safetensors.Named {
	ek, eb, dk, db := tensor.New(2, width), tensor.New(width), tensor.New(width, 2), tensor.New(2)
	for i := range 2 {
		for j := range min(2, width) {
			if at != [2][2]float32{} {
				ek.Row(i)[j] = at[j][i]
			}
		}
		if i < width {
			dk.Row(i)[i] = 1
		}
	}
	copy(db.Data, to[:])
	return []safetensors.Named{{Name: "encoder.0.kernel", Tensor: ek}, {Name: "encoder.0.bias", Tensor: eb}, {Name: "decoder.0.kernel", Tensor: dk}, {Name: "decoder.0.bias", Tensor: db}}
}

// guardWeights are those of classifiers and auto-encoders.
var guardWeights = map[string][]safetensors.Named{
	"nearest":  linear(60, 0),
	"certain":  linear(1e6, 0),
	"far":      linear(60, away),
	"constant": linear(0, 0),
	"faithful": affine(2, [2][2]float32{{.94, 0}, {0, .94}}, [2]float32{.03, .024}), // nearly
	// a to b, b to c and c to a
	"rotating": affine(2, [2][2]float32{{-.5, -1}, {1, -.5}}, [2]float32{1.1, .1}),
	"flat":     affine(2, [2][2]float32{{1, 0}, {0, 0}}, [2]float32{0, .2}),   // v is that of a and b
	"halfway":  affine(2, [2][2]float32{{1, 0}, {0, 0}}, [2]float32{0, .585}), // v is that of c, nearly
	"lost":     affine(2, [2][2]float32{}, [2]float32{.2, .2}),
	"wide":     affine(9, [2][2]float32{{.94, 0}, {0, .94}}, [2]float32{.03, .024}),
}

// guardSpec is a sound guard of a ready classifier by ready weights.
const guardSpec = `api_version: vaeguard/v1
kind: Experiment
name: small
seed: 3
data:
  train:       {file: train.csv, label: class}
  validation:  {file: validation.csv, label: class}
  calibration: {file: calibration.csv, label: class}
classifier: {plugin: mlp, config: {hidden: [], weights: nearest.safetensors, input_shape: [2], classes: 3}}
vae:
  latent_dim: 2
  weights: faithful.safetensors
  encoder:
    - dense: {units: 2}
  decoder:
    - dense: {units: 2}
detector: {method: ae, data_type: tabular, score: kl}
threshold: {fpr: 0.05}
`

const (
	byConstant = "classifier.config.weights=constant.safetensors"
	byRotating = "vae.weights=rotating.safetensors"
	byFlat     = "vae.weights=flat.safetensors"
	byLost     = "vae.weights=lost.safetensors"
)

func files(role, name string) string { return "data." + role + ".file=" + name }

// badGuards has, for each thing that health warns of, a guard that is bad in that way.
var badGuards = []struct {
	name     string
	set      []string
	finding  string
	severity health.Severity
	message  string // a part
}{
	{"the classifier says the same of every row", []string{byConstant}, health.Classifier, health.Severe, "there is nothing here to guard"},
	{"most labels are noise", []string{files("calibration", "noisy.csv")}, health.Classifier, health.Warning, "it is hardly better"},
	{"the classifier is not as it was declared", []string{files("calibration", "wrong.csv"), "classifier.accuracy=0.995"}, health.Classifier, health.Warning, "its author declares 99.5 %, and chance does not explain"},
	{"rows are standardised before a model that was trained on raw ones", []string{files("train", "far-train.csv"), files("validation", "far-validation.csv"), files("calibration", "far-calibration.csv"),
		"data.train.scale=standard", "data.validation.scale=standard", "data.calibration.scale=standard", "classifier.config.weights=far.safetensors"}, health.Classifier, health.Severe, "without data.prepare and scale, it is right on"},
	{"classes are in another order", []string{"data.classes=[b, c, a]"}, health.Classifier, health.Severe, "it seems to number the classes otherwise"},

	{"reconstructions are of the next class", []string{byRotating}, health.Kept, health.Severe, "little better than chance"},
	{"reconstructions lose a part of the class", []string{"vae.weights=halfway.safetensors"}, health.Kept, health.Warning, "reconstructions keep the class of"},
	{"every reconstruction is the same", []string{byLost}, health.Reached, health.Severe, "the guard's second opinion is the same"},
	{"no reconstruction is of c", []string{byFlat}, health.Reached, health.Warning, "never c"},

	{"calibration rows have hardly any of c", []string{byFlat, files("calibration", "rare.csv")}, health.FalseAlarms, health.Severe, "but of class c 100.0 %"},
	{"rows of c are nearer to the others than calibration rows", []string{files("validation", "outlying-c.csv")}, health.FalseAlarms, health.Warning, "but of class c"},
	{"rows are unlike calibration rows", []string{files("validation", "outlying.csv")}, health.FalseAlarms, health.Warning, "significantly more"},

	{"correction takes c for others", []string{byFlat, files("calibration", "rare.csv")}, health.Correction, health.Severe, "of class c it loses"},
	{"correction is wrong of all classes", []string{byRotating, files("validation", "extreme.csv"), "threshold.fpr=0.01", "threshold.by=predicted_class"}, health.Correction, health.Severe, ": it does harm"},
	{"correction is wrong of some rows", []string{byRotating, files("validation", "farther.csv"), "threshold.fpr=0.01", "threshold.by=predicted_class"}, health.Correction, health.Warning, "correction changes the accuracy on"},

	{"the score is the same of every row", []string{byConstant}, health.Score, health.Severe, "nothing will ever be told apart"},
	{"predictions are certain", []string{"classifier.config.weights=certain.safetensors", byFlat, files("calibration", "rare.csv")}, health.Score, health.Warning, "have exactly the threshold as their score"},
	{"rows have few values", []string{files("calibration", "coarse.csv")}, health.Score, health.Warning, "values"},
	{"votes over noise", []string{"detector={method: smoothed, sigma: 30, votes: 4, data_type: tabular}"}, health.Score, health.Severe, "a row passes without a single vote"},

	{"both scores are constant", []string{byConstant, "detector.score=[kl, reverse_kl]", "detector.fusion=fisher"}, health.DeadUnits, health.Severe, "every score of the fusion is constant: [kl reverse_kl]"},
	{"one score is constant", []string{byConstant, "detector.score=[kl, reconstruction_error]", "detector.fusion=fisher"}, health.DeadUnits, health.Warning, "scores of the fusion that are constant: [kl]"},
	{"the code is the same of every row", []string{byLost}, health.DeadUnits, health.Severe, "every reconstruction is the same"},
	{"most of the code is the same of every row", []string{"vae.latent_dim=9", "vae.encoder[0].dense.units=9", "vae.weights=wide.safetensors"}, health.DeadUnits, health.Warning, "7 of 9 dimensions"},

	{"hardened without validation rows", []string{"data.validation=null", "train={epochs: 1, batch_size: 64, harden: {norm: linf, eps: 0.05, steps: 1}}"}, health.Hardening, health.Note, "was not measured: there are no validation rows"},

	{"a surrogate of one short pass", []string{"data.allow_overlap=true", files("train", "rarer.csv"), "classifier.gradient=surrogate", "classifier.surrogate={layers: [{dense: {units: 1, activation: relu}}], epochs: 1, noise: 0, min_agreement: 0}"}, health.Surrogate, health.Severe, "say nothing of the rarer classes"},
	{"a surrogate of one unit", []string{files("validation", "few-b.csv"), "classifier.gradient=surrogate", "classifier.surrogate={layers: [{dense: {units: 1, activation: relu}}], epochs: 20, noise: 0, min_agreement: 0}"}, health.Surrogate, health.Warning, "the surrogate agrees with the classifier on"},
}

// guardWorld is a folder with all that guardSpec and its variants name.
func guardWorld(t *testing.T) (spec string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range guardTables {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, w := range guardWeights {
		if err := safetensors.Write(filepath.Join(dir, name+".safetensors"), w, nil); err != nil {
			t.Fatal(err)
		}
	}
	spec = filepath.Join(dir, "small.yaml")
	if err := os.WriteFile(spec, []byte(guardSpec), 0o600); err != nil {
		t.Fatal(err)
	}
	return spec
}

// TestEachWarningHasItsGuard builds a sound guard, which nothing is found of, and for each thing
// that health warns of one that is bad in that way. Whatever the package health can say
// above a note, but for what is named here, one of them has to provoke.
func TestEachWarningHasItsGuard(t *testing.T) {
	spec := guardWorld(t)
	t.Run("sound", func(t *testing.T) {
		for _, f := range trained(t, spec).Findings {
			if f.Severity != health.Note {
				t.Errorf("%s %s: %s", f.Severity, f.Name, f.Message)
			}
		}
	})
	var said []health.Finding
	for _, c := range badGuards {
		t.Run(c.name, func(t *testing.T) {
			r := trained(t, spec, c.set...)
			f, ok := r.Finding(c.finding)
			if !ok || f.Severity != c.severity || !strings.Contains(f.Message, c.message) || (len(f.Cures) == 0) != (c.severity == health.Note) {
				t.Errorf("%+v, want %s with %q", f, c.severity, c.message)
				for _, f := range r.Findings {
					t.Logf("%s %s: %s", f.Severity, f.Name, f.Message)
				}
			}
			if (c.severity == health.Severe) && r.Check() == nil {
				t.Error("--strict would accept it")
			}
			for _, f := range r.Findings {
				if f.Severity != health.Note {
					said = append(said, f)
				}
			}
		})
	}
	if t.Failed() {
		return
	}
	for _, w := range warnings(t) {
		if slices.ContainsFunc(said, w.is) {
			continue
		}
		if reason := notBuilt[w.finding]; reason == "" {
			t.Errorf("no guard provokes %s %s: %q", w.severity, w.finding, w.format)
		}
	}
}

// TestHealthOfHeldOutRows: validation rows are what false alarms and correction are judged on,
// unless they are calibration rows too, and what the classifier is asked about for that, and
// for rows as files have them, is counted.
func TestHealthOfHeldOutRows(t *testing.T) {
	spec := guardWorld(t)
	surrogate := []string{"classifier.gradient=surrogate", "classifier.surrogate={layers: [{dense: {units: 4, activation: relu}}], min_agreement: 0}"}
	for name, c := range map[string]struct {
		set     []string
		source  string
		queries int64 // of each of 600 rows its answer and that of its reconstruction
	}{
		"validation rows":      {nil, "validation", 1200},
		"none":                 {[]string{"data.validation=null"}, "calibration", 0},
		"calibration rows too": {[]string{"data.allow_overlap=true", files("validation", "calibration.csv")}, "calibration", 0},
		"a surrogate":          {surrogate, "validation", 1200},
		"rows in other units":  {[]string{"data.train.scale=standard", "data.validation.scale=standard", "data.calibration.scale=standard"}, "validation", 1800},
		"a given threshold":    {[]string{"threshold={value: 1}", "data.calibration=null"}, "validation", 1200},
	} {
		t.Run(name, func(t *testing.T) {
			m := trainedMeta(t, spec, c.set...)
			r := m.Health
			if r == nil || r.Queries != c.queries {
				t.Fatalf("%+v, want %d queries", r, c.queries)
			}
			learnt := c.source == "calibration"
			for _, name := range []string{health.FalseAlarms, health.Correction} {
				f, _ := r.Finding(name)
				if f.Source != c.source || f.Rows != 600 || !strings.Contains(f.Message, "600 rows of data."+c.source) || strings.Contains(f.Message, "learnt from these rows") != learnt {
					t.Errorf("%+v", f)
				}
			}
			if held := r.Source == "calibration" && !learnt; (r.HeldOut != nil) != held || r.Learnt != (r.Source == "calibration") {
				t.Errorf("held out: %+v of %s, learnt %v", r.HeldOut, r.Source, r.Learnt)
			}
			if g := m.Gradient; (g != nil) != (name == "a surrogate") || g != nil && (g.Queries.Health != c.queries || g.Queries.Total() == 0) {
				t.Errorf("gradient %+v", g)
			}
		})
	}
}

// notBuilt are findings that no guard of a test provokes, and why.
var notBuilt = map[string]string{
	health.Hardening: "catastrophic overfitting takes a training of minutes; what is measured of hardening has TestHardeningIsMeasured, and what follows from it host/health's own test",
}

// warning is one place at which health says something above a note.
type warning struct {
	finding  string
	severity health.Severity // "": any
	format   string
	pattern  *regexp.Regexp // of the message
}

func (w warning) is(f health.Finding) bool {
	return f.Name == w.finding && (f.Severity == w.severity || w.severity == "") && w.pattern.MatchString(f.Message)
}

// reasons are the sentences of a method that gives no finding but a why, which another
// adds to its own.
func reasons(t *testing.T, f *ast.FuncDecl) (out []warning) {
	t.Helper()
	if f.Recv == nil || slices.Contains([]string{"name", "names", "learnt"}, f.Name.Name) || f.Type.Results == nil {
		return nil
	}
	of, ok := f.Recv.List[0].Type.(*ast.StarExpr)
	if !ok {
		return nil
	}
	if kind, ok := of.X.(*ast.Ident); !ok || kind.Name != "judge" {
		return nil
	}
	if first, ok := f.Type.Results.List[0].Type.(*ast.Ident); !ok || first.Name != "string" {
		return nil
	}
	ast.Inspect(f, func(n ast.Node) bool {
		r, ok := n.(*ast.ReturnStmt)
		if !ok {
			return true
		}
		if call, ok := r.Results[0].(*ast.CallExpr); ok && len(call.Args) > 0 {
			if text, ok := call.Args[0].(*ast.BasicLit); ok {
				format, err := strconv.Unquote(text.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, warning{health.Classifier, "", format, regexp.MustCompile(pattern(format))})
			}
		}
		return true
	})
	return out
}

// pattern is a regular expression of what a format makes.
func pattern(format string) string {
	parts := regexp.MustCompile(`%[-+.\d]*[a-z]`).Split(format, -1)
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(strings.ReplaceAll(p, "%%", "%"))
	}
	return strings.Join(parts, ".*")
}

// warnings are read from the source of host/health: each call of add or addOf with the
// severity Warning or Severe, or with a variable, which stands for both.
func warnings(t *testing.T) []warning {
	t.Helper()
	names := map[string]string{"Classifier": health.Classifier, "Kept": health.Kept, "Reached": health.Reached, "FalseAlarms": health.FalseAlarms,
		"Correction": health.Correction, "Score": health.Score, "DeadUnits": health.DeadUnits, "Hardening": health.Hardening, "Surrogate": health.Surrogate}
	set := token.NewFileSet()
	paths, err := filepath.Glob("../host/health/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var out []warning
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if f, ok := n.(*ast.FuncDecl); ok {
				out = append(out, reasons(t, f)...)
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch f := call.Fun.(type) {
			case *ast.SelectorExpr:
				if f.Sel.Name != "add" && f.Sel.Name != "addOf" {
					return true
				}
			case *ast.Ident:
				if f.Name != "add" {
					return true
				}
			default:
				return true
			}
			finding, severities, format := health.Hardening, []health.Severity{health.Warning, health.Severe}, "" // its own add names none
			for _, arg := range call.Args {
				switch a := arg.(type) {
				case *ast.Ident:
					if name, ok := names[a.Name]; ok {
						finding = name
					}
					if s, ok := map[string][]health.Severity{"Note": nil, "Warning": {health.Warning}, "Severe": {health.Severe}, "s": nil}[a.Name]; ok {
						severities = s // s: of those who call it
					}
				case *ast.BasicLit:
					if format == "" && a.Kind == token.STRING {
						if format, err = strconv.Unquote(a.Value); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			for _, s := range severities {
				out = append(out, warning{finding, s, format, regexp.MustCompile("^" + pattern(format) + "$")})
			}
			return true
		})
	}
	if len(out) < 20 {
		t.Fatalf("only %d warnings are found in the source: %+v", len(out), out)
	}
	for _, name := range names {
		if !slices.ContainsFunc(out, func(w warning) bool { return w.finding == name }) {
			t.Errorf("no warning of %s is found in the source", name)
		}
	}
	return out
}
