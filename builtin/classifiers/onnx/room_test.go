package onnx

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// outside are functions that get memory elsewhere than from a room, and why
// what a file says cannot make that large. A method goes by its name alone.
var outside = map[string]string{
	"lanes.go takeLanes": "as many as there are threads", "lanes.go giveLanes": "as many as there are threads",
	// the room itself
	"room.go fresh":    "claims first",
	"room.go newRoom":  "one number",
	"room.go grown":    "claims first",
	"room.go take":     "claims first",
	"session.go enter": "claims first",

	// once a node or a name of the file, which parse has claimed
	"model.go graph":         "a node, input or output, claimed with bytesNode",
	"model.go free":          "the inputs of the file",
	"graph.go compile":       "as many as a node has inputs",
	"graph.go plan":          "as many as a node has inputs and outputs",
	"graph.go slot":          "as many as there are names",
	"graph.go needed":        "as many as there are names",
	"integers.go reading":    "as many as there are names",
	"run.go forward":         "as many as a node has inputs",
	"run.go seat":            "as many as there are names",
	"run.go record":          "a step back, claimed with bytesValue",
	"attrs.go ints":          "as many as the attribute has in the file",
	"head.go scores":         "the outputs of the file",
	"join.go Graph":          "the hidden layers of the config",
	"refuse.go scoresBehind": "the inputs of 64 nodes",
	"given.go namesOf":       "at most 17",
	"external.go Beside":     "the external files that the file names",

	// as many as the config says
	"classifier.go load":  "the hidden layers of the config",
	"classifier.go build": "the hidden layers of the config",
	"classifier.go Info":  "the hidden layers of the config",
	"columns.go join":     "the inputs of the config",
	"columns.go columnOf": "at most three nodes an input of the config",
	"given.go guarded":    "the inputs of the config",
	"given.go give":       "the inputs and dimensions of the config",
	"program.go shapeOf":  "the hidden layers of the config",

	// rows that the caller sends, answers that he asks for
	"program.go forward":  "the caller's rows of answers, whose evaluation the room has bounded",
	"program.go pullback": "a gradient of the size of the caller's rows",
	"program.go pull":     "as many as the caller has cotangents",
	"probe.go try":        "three rows, which are measured first",
	"probe.go answers":    "three answers, whose evaluation the room has bounded",

	// at most maxRank dimensions, or maxLabels names of them
	"tensor_proto.go readDims": "dimensions", "model.go readPort": "dimensions", "value.go order": "dimensions",
	"input.go entry": "dimensions", "input.go meet": "dimensions",
	"cut.go slice":     "at most one step a dimension; the rest into what fresh gave",
	"einsum.go einsum": "operands and labels, at most maxLabels", "einsum.go named": "labels", "einsum.go distinct": "labels",
	"einsum.go contracted": "labels", "einsum.go summed": "labels", "einsum.go multiplied": "labels",
	"exactly.go centred": "dimensions", "features.go oneHotEncoder": "dimensions", "given.go repeat": "dimensions",
	"linear.go normalizer": "dimensions", "matmul.go product": "dimensions", "move.go count": "dimensions",
	"move.go walk": "dimensions", "move.go stepsOf": "dimensions", "move.go permuted": "dimensions", "move.go expanded": "dimensions",
	"move.go with": "dimensions", "move.go transpose": "dimensions", "move.go gatherOp": "dimensions", "move.go gatherElements": "dimensions",
	"norm.go layerNormalization": "dimensions", "pairwise.go broadcast": "dimensions", "pairwise.go spreadOf": "dimensions",
	"pairwise.go each": "dimensions", "pairwise.go lead": "dimensions", "pooling.go ones": "dimensions", "reduce.go reduced": "dimensions",
	"reduce.go argBest": "dimensions", "resize.go resizeTo": "one an axis", "resize.go resize": "its inputs",
	"shapes.go reshape": "dimensions", "shapes.go unbound": "dimensions", "shapes.go squeeze": "dimensions", "shapes.go unsqueeze": "dimensions",
	"shapes.go shapeOf": "dimensions", "window.go shape": "dimensions",

	// into what fresh gave
	"wire.go varints": "into what grown gave", "wire.go floats": "into what grown gave", "wire.go doubles": "into what grown gave",
	"matmul.go matrices": "into what fresh gave", "cut.go split": "into what fresh gave", "qlinear.go qLinearConcat": "into what fresh gave",
	"resize.go taps": "into what fresh gave", "tree.go vote": "into what fresh gave",
}

// paid are functions that ask the kernels for more than a number of steps an
// element, and claim the work and the kernels' scratch before.
var paid = map[string]string{
	"matmul.go gemm": "spend", "conv.go forward": "pay", "conv.go backward": "pay",
	"pooling.go maxPool": "pay", "pooling.go averagePool": "pay",
	"pooling.go spatialMean": "each element is read once, and step has paid", "pooling.go globalMaxPool": "each element is read once, and step has paid",
}

// makers are calls that get memory.
var makers = map[string]bool{
	"make": true, "append": true, "new": true, "slices.Clone": true, "slices.Repeat": true, "slices.Concat": true, "slices.Grow": true, "slices.Collect": true,
	"slices.Sorted": true, "slices.Insert": true, "slices.AppendSeq": true, "maps.Clone": true, "bytes.Clone": true, "bytes.Repeat": true,
	"strings.Repeat": true, "tensor.New": true, "tensor.Batch": true, "io.ReadAll": true,
}

// multipliers are the kernels that do more than a number of steps an element.
var multipliers = map[string]bool{"Gemm": true, "ConvForward": true, "ConvInput": true, "ConvKernel": true, "DepthwiseForward": true, "DepthwiseInput": true,
	"MaxPool": true, "AvgPool": true}

// TestRoom reads the sources: memory comes from a room, or a reason is given
// why it need not; and so for work.
func TestRoom(t *testing.T) {
	seen := map[string]bool{}
	eachCall(t, func(where, call string, at *ast.CallExpr, pos token.Position) {
		name := call[strings.LastIndex(call, ".")+1:]
		switch {
		case makers[call] && call == "append" && calls(at.Args[0], "grown"):
		case makers[call]:
			seen[where] = true
			if outside[where] == "" {
				t.Errorf("%v: %s calls %s: take it from the room (fresh, grown, numbers, spare), or say in outside why it is small", pos, where, call)
			}
		case multipliers[name] && strings.Contains(call, "k."):
			seen[where] = true
			if paid[where] == "" {
				t.Errorf("%v: %s calls %s: spend the work first, and say so in paid", pos, where, call)
			}
		}
	})
	for _, list := range []map[string]string{outside, paid} {
		for _, where := range slices.Sorted(maps.Keys(list)) {
			if !seen[where] {
				t.Errorf("%s gets no memory and no work elsewhere: take it off the list", where)
			}
		}
	}
}

// tables are functions with maps that they fill, and what bounds those.
var tables = map[string]string{
	"attrs.go axesOf": "dimensions", "einsum.go einsum": "labels", "einsum.go contracted": "labels", "einsum.go summed": "labels",
	"norm.go rmsNormalization": "dimensions", "qlinear.go qGlobalAveragePool": "dimensions",
	"features.go oneHotEncoder": "claimed with bytesEntry", "features.go labelEncoder": "claimed with bytesEntry",
	"tree.go plant":      "claimed with bytesEntry",
	"classifier.go load": "the hidden layers of the config", "classifier.go build": "the hidden layers of the config",
	"folding.go newFolding": "as many as there are names",
	"graph.go compile":      "as many as there are names", "graph.go producers": "as many as there are names", "graph.go needed": "as many as there are names",
	"integers.go reading": "as many as there are names", "refuse.go scoresBehind": "64 nodes",
	"model.go parse": "claimed with bytesNode", "model.go node": "claimed with bytesValue", "tensor_proto.go tensor": "claimed with bytesValue",
	"external.go readExternal": "the external files that the file names",
	"program.go forward":       "as many outputs as the caller asks for", "program.go pull": "as many cotangents as the caller has",
}

// TestTables does the same for maps.
func TestTables(t *testing.T) {
	seen := map[string]bool{}
	eachNode(t, func(where string, n ast.Node, pos token.Position) {
		lit, ok := n.(*ast.CompositeLit)
		if !ok || len(lit.Elts) > 0 {
			return
		}
		if _, ok := lit.Type.(*ast.MapType); !ok {
			return
		}
		seen[where] = true
		if tables[where] == "" {
			t.Errorf("%v: %s fills a map: say in tables what bounds it", pos, where)
		}
	})
	for _, where := range slices.Sorted(maps.Keys(tables)) {
		if !seen[where] {
			t.Errorf("%s fills no map: take it off the list", where)
		}
	}
}

// eachCall calls f with the calls of the package's functions, its tests left out.
func eachCall(t *testing.T, f func(where, call string, at *ast.CallExpr, pos token.Position)) {
	t.Helper()
	eachNode(t, func(where string, n ast.Node, pos token.Position) {
		if c, ok := n.(*ast.CallExpr); ok {
			f(where, nameOf(c.Fun), c, pos)
		}
	})
}

// eachNode calls f with all that is written in them.
func eachNode(t *testing.T, f func(where string, n ast.Node, pos token.Position)) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			name := "variables"
			if d, ok := d.(*ast.FuncDecl); ok {
				name = d.Name.Name
			}
			ast.Inspect(d, func(n ast.Node) bool {
				if n != nil {
					f(e.Name()+" "+name, n, set.Position(n.Pos()))
				}
				return true
			})
		}
	}
}

// nameOf is a function as it is called: f, package.f, value.field.f.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return nameOf(e.X) + "." + e.Sel.Name
	case *ast.IndexExpr:
		return nameOf(e.X)
	}
	return ""
}

func calls(e ast.Expr, name string) bool {
	c, ok := e.(*ast.CallExpr)
	return ok && nameOf(c.Fun) == name
}
