package builtin_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
)

// hostDir is the folder whose files know no component's name.
const hostDir = "../host"

// allowed are literals of the host that happen to be a component's name, by
// file or folder, with what they are instead.
var allowed = map[string]map[string]string{
	"benchmark.go":           {"vae": "section of the spec, where a fault stands"},
	"artifact/tensors.go":    {"noise": "tensor of a detector's file: the stored noise"},
	"detect/section.go":      {"confidence": "key of the section threshold"},
	"detect/methodtest":      {"noise": "prefix of tensors in a detector's file: the stored noise"},
	"detect/noise.go":        {"noise": "purpose that keys a stream of random numbers"},
	"cli/attack.go":          {"folder": sourceKey},
	"cli/calibrate.go":       {"confidence": "flag: that a false-alarm rate holds"},
	"cli/export.go":          {"onnx": "format of what export writes"},
	"cli/init_classifier.go": {"standard": "value of vae.normalize, and a step, in the text of a spec"},
	"cli/init_text.go":       {"folder": sourceKey},
	"cli/clitest":            {"jsonl": "command of test scripts, which reads results", "npz": "command of test scripts, which reads results"},
	"dataset/section.go":     {"folder": sourceKey, "idx": sourceKey, "cifar10": sourceKey, "standard": "value of a source's key scale"},
	"signature/door.go":      {"rescale": "key of what a step learnt: that of a source's short form"},
	"vae/normalize.go":       {"standard": "value of vae.normalize"},
	"vae/section.go":         {"standard": "value of vae.normalize"},
	"scoring/scoring.go":     {"adversarial": "detector_type of the results, as other libraries have it"},
	"evaluate":               {"accuracy": "key of report.json"},
	"grid":                   {"accuracy": "key of results.json, and a column of its page"},
	"checks.go":              {"vae": "section of the spec, where a fault stands"},
	"experiment.go":          {"vae": "section of the spec, where a fault stands"},
	"training.go":            {"vae": "section of the spec, where a fault stands"},
	"classifier.go":          {"kl": "key of progress and events: fidelity of a source of gradients"},
	"kernel/gen/maps.go":     {"adam": "kernel that the generator writes", "rmsprop": "kernel that the generator writes"},
	"nn/activation.go":       {"leaky_relu": "activation: nn's own table"},
	"nn/graph.go":            {"leaky_relu": "activation: nn's own table"},
	"results":                {"arrow": resultFormat, "csv": resultFormat, "jsonl": resultFormat, "npz": resultFormat, "parquet": resultFormat},
	"train/metric.go":        {"kl": "the trainer's own metric, whose name builtin's table has from here", "accuracy": "the trainer's own metric, whose name builtin's table has from here"},
	"vae/summary.go":         {"dense": "label of vae's own dense head in a listing of layers; nothing goes by it"},
}

// Reasons that several literals share.
const (
	// Results have empty cells and nested lists, and no reader here: a format of
	// rows has no use for their writers, nor they for it.
	resultFormat = "format of the results: detect's own writers, which nothing reads rows of inputs by"
	sourceKey    = "key of a source, as the tag of its field has it: whatever format has that name is looked up"
)

// TestHostKnowsNoNames: no string literal of the host is the name of a
// component that ships. What the host needs to know of one the component
// declares, as a third party's does. Struct tags, which name defaults, are no
// literals of this kind; neither are names inside a longer text.
func TestHostKnowsNoNames(t *testing.T) {
	kinds := make(map[string][]string)
	c := builtin.Components()
	for _, table := range c.Tables() {
		for _, name := range table.Names() {
			kinds[name] = append(kinds[name], table.Kind())
		}
	}
	for _, name := range c.Classifiers.Names() {
		kinds[name] = append(kinds[name], "classifier")
	}
	used := make(map[string]bool)
	files := 0
	err := filepath.WalkDir(hostDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		rel, err := filepath.Rel(hostDir, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		found, err := literals(path)
		if err != nil {
			return err
		}
		for _, l := range found {
			if kinds[l.text] == nil || excused(rel, l.text, used) {
				continue
			}
			t.Errorf("%s: %q is the name of a %s: let the component declare what is needed of it", l.at, l.text, strings.Join(kinds[l.text], " and a "))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 200 {
		t.Errorf("only %d files of the host were read", files)
	}
	for place, words := range allowed {
		for word := range words {
			if !used[place+" "+word] {
				t.Errorf("allowed: %s has no literal %q any more, or it is no component's name: drop the entry", place, word)
			}
		}
	}
}

// excused notes which entry lets a literal pass.
func excused(file, word string, used map[string]bool) bool {
	for place := range allowed {
		if _, ok := allowed[place][word]; ok && (file == place || strings.HasPrefix(file, place+"/")) {
			used[place+" "+word] = true
			return true
		}
	}
	return false
}

// literal is a string of the source.
type literal struct{ text, at string }

// literals are the string literals of a file except struct tags and imports.
func literals(path string) ([]literal, error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	tags := make(map[*ast.BasicLit]bool)
	var out []literal
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			tags[n.Tag] = true
		case *ast.BasicLit:
			if n.Kind != token.STRING || tags[n] {
				break
			}
			text, err2 := strconv.Unquote(n.Value)
			if err2 != nil {
				err = fmt.Errorf("%s: %w", set.Position(n.Pos()), err2)
			}
			out = append(out, literal{text, set.Position(n.Pos()).String()})
		}
		return true
	})
	return out, err
}

// TestLiterals: the search sees a literal wherever one can stand.
func TestLiterals(t *testing.T) {
	found, err := literals("testdata/literals.go.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range found {
		got = append(got, l.text)
	}
	if want := []string{"const", "list", "key", "call", "case", "raw", "compared"}; !slices.Equal(got, want) {
		t.Errorf("literals %q, want %q", got, want)
	}
}
