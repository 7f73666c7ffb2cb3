package onnx

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/kernel"
)

// TestFeatures settles what the operators without a gradient answer.
func TestFeatures(t *testing.T) {
	k, err := kernel.New(kernel.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	nan := float32(math.NaN())
	for _, c := range []struct {
		op   string
		in   *value
		a    attrs
		want string // numbers, or a part of the error
	}{
		{"Binarizer", numbers(1, 2, 3), attrs{"threshold": real32(2)}, "[0 0 1] []"},
		{"Imputer", numbers(1, nan, 3), attrs{"imputed_value_floats": reals(7), "replaced_value_float": real32(nan)}, "[1 7 3] []"},
		{"Imputer", integers(1, 0, 3), attrs{"imputed_value_int64s": whole(7, 8, 9)}, "[] [1 8 3]"},
		{"Imputer", numbers(1, 2), attrs{"imputed_value_floats": reals(7, 8, 9)}, "3 numbers"},
		{"OneHotEncoder", numbers(2, 5, 1), attrs{"cats_int64s": whole(1, 2)}, "[0 1 0 0 1 0] []"},
		{"OneHotEncoder", integers(5), attrs{"cats_int64s": whole(1, 2), "zeros": whole(0)}, "5 is not one of its categories"},
		{"OneHotEncoder", integers(5), attrs{"cats_strings": attr{strings: []string{"a"}}}, "strings are not supported"},
		{"LabelEncoder", integers(1, 4, 2), attrs{"keys_int64s": whole(1, 2), "values_floats": reals(0.5, 0.25), "default_float": real32(9)}, "[0.5 9 0.25] []"},
		{"LabelEncoder", numbers(1, nan, 3), attrs{"keys_floats": reals(1, nan), "values_int64s": whole(10, 20)}, "[] [10 20 -1]"},
		{"LabelEncoder", numbers(1), attrs{"keys_tensor": attr{t: numbers(1)}, "values_tensor": attr{t: integers(6)}, "default_tensor": attr{t: integers(3)}}, "[] [6]"},
		{"LabelEncoder", integers(1), attrs{"keys_strings": attr{strings: []string{"a"}}, "values_int64s": whole(1)}, "strings are not supported"},
		{"ArrayFeatureExtractor", numbers(1, 2), nil, "input 1 is missing"},
		{"SVMClassifier", numbers(1, 2), attrs{"vectors_per_class": whole(1, 1), "classlabels_ints": whole(0, 1)}, "do not fit each other"},
		{"SVMClassifier", numbers(1, 2), attrs{"vectors_per_class": whole(1<<40, 1), "classlabels_ints": whole(0, 1)}, "support vectors of a class"},
	} {
		t.Run(c.op, func(t *testing.T) {
			n := &node{op: c.op, domain: domainML, attrs: c.a, out: []string{"y"}}
			n.do = newOperators().of(n)
			out, err := newRun(k, plenty).step(n, []*value{c.in})
			got := fmt.Sprint(err)
			if err == nil {
				got = fmt.Sprint(out[0].f, out[0].i)
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestImputerGradient stops at what was missing.
func TestImputerGradient(t *testing.T) {
	k, err := kernel.New(kernel.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	n := &node{op: "Imputer", domain: domainML, attrs: attrs{"imputed_value_floats": reals(7), "replaced_value_float": real32(2)}}
	n.do = newOperators().of(n)
	r := newRun(k, plenty)
	r.keep = true
	x := numbers(1, 2, 3)
	x.diff = true
	out, err := r.step(n, []*value{x})
	if err != nil {
		t.Fatal(err)
	}
	if d := pulled(t, r, x, map[*value][]float32{out[0]: {4, 5, 6}}, out); fmt.Sprint(d) != "[4 0 6]" {
		t.Errorf("gradient %v, want [4 0 6]", d)
	}
}
