package tensors_test

import (
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// Bodies of V1 as tensors, and what is none.
func TestV1(t *testing.T) {
	for body, want := range map[string]string{
		`{"instances":[[1,2],[3,4]]}`:                                               `x FP64 [2 2] [1,2,3,4]`,
		`{"instances": [1, null] , "signature_name": "s"}`:                          `x FP64 [2] [1,null]`,
		`{"instances":[[[1],[2]]]}`:                                                 `x FP64 [1 2 1] [1,2]`,
		`{"instances":["a","b"]}`:                                                   `x BYTES [2] ["a","b"]`,
		`{"instances":[{"b":"y","a":1.5},{"a":2,"b":"n"}]}`:                         `a FP64 [2] [1.5,2]; b BYTES [2] ["y","n"]`,
		`{"instances":[{"in":[1,2]},{"in":[3,4]}]}`:                                 `in FP64 [2 2] [1,2,3,4]`,
		`{"instances":[]}`:                                                          `instances is empty`,
		`{"inputs":[[1]]}`:                                                          `instances is missing`,
		`{"instances":{"a":1}}`:                                                     `instances is no list`,
		`{"instances":[[1,2],[3]]}`:                                                 `tensor "x": a list of 1 at depth 2 of data, want 2 as shape [2 2] says`,
		`{"instances":[{"a":1},{"b":2}]}`:                                           `row 1 has a member "b", which the first one does not have`,
		`{"instances":[{"a":1,"b":2},{"a":2}]}`:                                     `row 1 has 1 members, and the first one 2`,
		`{"instances":[{"a":1},3]}`:                                                 `row 1 is no object, as the first one is`,
		`{"instances":[{},{}]}`:                                                     `row 0 has no members`,
		`{"instances":[[1]],"Instances":[[2]]}`:                                     `member "Instances" is there twice`,
		`{"instances":[{"a":1,"a":2}]}`:                                             `member "a" is there twice`,
		`{"instances":[[]]}`:                                                        `tensor "x": a list is empty, or lists are nested too deep`,
		` {"instances" : [ [ 1 , 2 ] ,[3,4 ] ] } `:                                  `x FP64 [2 2] [1,2,3,4]`,
		`{"instances":[ "a]" , "\\\"," ]}`:                                          `x BYTES [2] ["a]","\\\","]`,
		`{"instances":[[1]],"inputs":[[2]]}`:                                        `inputs stands beside instances, and some servers read that in its place: want one of them`,
		`{"data":{"instances":[[2]]},"instances":[[1]]}`:                            `data stands beside instances, and some servers read that in its place: want one of them`,
		`{"instances":[` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `]}`: `tensor "x": a list is empty, or lists are nested too deep`,
		`[1]`: `the body is no object of JSON`,
	} {
		r, err := tensors.ParseRequestV1([]byte(body), tensors.Limits{})
		var got []string
		for _, x := range r.Inputs {
			got = append(got, x.Name+" "+string(x.Datatype)+" "+strings.ReplaceAll(strings.Trim(strings.Join(strings.Fields(dims(x.Shape)), " "), " "), ",", "")+" "+string(x.AppendData(nil)))
		}
		text := strings.Join(got, "; ")
		if err != nil {
			text = err.Error()
		}
		if text != want {
			t.Errorf("%s: %s, want %s", body, text, want)
		}
	}
}

func dims(shape []int64) string {
	var out []string
	for _, n := range shape {
		out = append(out, string(rune('0'+n)))
	}
	return "[" + strings.Join(out, " ") + "]"
}

// FuzzV1: predictions that can be read are written as they were.
func FuzzV1(f *testing.F) {
	f.Add([]byte(`{"predictions":[[0.5,1],[2,3]]}`))
	f.Add([]byte(`{"predictions":[{"a":[[1,2]],"b":"x"},{"a":[[3,4]],"b":"y"}]}`))
	f.Add([]byte(`{"predictions":[1,2,-3]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := tensors.ParseResponseV1(body, tensors.Limits{})
		if err != nil {
			return
		}
		text := append(tensors.AppendPredictionsV1([]byte(`{"predictions":`), r.Outputs), '}')
		again, err := tensors.ParseResponseV1(text, tensors.Limits{})
		if err != nil {
			t.Fatalf("%s became %s: %v", body, text, err)
		}
		if twice := append(tensors.AppendPredictionsV1([]byte(`{"predictions":`), again.Outputs), '}'); string(twice) != string(text) {
			t.Fatalf("%s became %s and %s", body, text, twice)
		}
	})
}
