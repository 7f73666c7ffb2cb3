package oip_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// KServe's V1: a prediction has what the Open Inference Protocol answers for the same rows.
func TestV1(t *testing.T) {
	s := serve(t)
	row := func(k int) string {
		var out []string
		for i := range 16 {
			out = append(out, fmt.Sprint((i*37+k*91)%256))
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	nested := func(k int) string { // (4, 4, 1)
		var out []string
		for i := range 4 {
			var in []string
			for j := range 4 {
				in = append(in, fmt.Sprintf("[%d]", ((i*4+j)*37+k*91)%256))
			}
			out = append(out, "["+strings.Join(in, ",")+"]")
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	v2 := ask(t, "POST", s.url+"/v2/models/digits/infer", `{"inputs":[{"name":"x","datatype":"FP64","shape":[2,4,4,1],"data":[`+row(0)[1:len(row(0))-1]+","+row(1)[1:]+`}]}`)
	v1 := ask(t, "POST", s.url+"/v1/models/digits:predict", `{"instances":[`+nested(0)+","+nested(1)+`]}`)
	if v1.status != 200 || v2.status != 200 {
		t.Fatalf("%d %s\n%d %s", v1.status, v1.body, v2.status, v2.body)
	}
	var want struct {
		Outputs []struct {
			Name string            `json:"name"`
			Data []json.RawMessage `json:"data"`
		} `json:"outputs"`
	}
	var got struct {
		Predictions []map[string]json.RawMessage `json:"predictions"`
	}
	if err := json.Unmarshal([]byte(v2.body), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(v1.body), &got); err != nil || len(got.Predictions) != 2 {
		t.Fatalf("%v %s", err, v1.body)
	}
	for i, p := range got.Predictions {
		if len(p) != len(want.Outputs) || len(p) != 6 {
			t.Errorf("%d outputs, want %d", len(p), len(want.Outputs))
		}
		for _, o := range want.Outputs {
			if string(p[o.Name]) != string(o.Data[i]) {
				t.Errorf("row %d: %s is %s, want %s", i, o.Name, p[o.Name], o.Data[i])
			}
		}
	}
	ask(t, "POST", s.url+"/v1/models/digits:predict", `{"instances":[]}`).fails(t, 400, "instances is empty")
	ask(t, "POST", s.url+"/v1/models/digits:predict", `{"instances":[[1,2]]}`).fails(t, 400, "x")
	ask(t, "POST", s.url+"/v1/models/none:predict", `{"instances":[[1]]}`).fails(t, 404, "none")
	ask(t, "POST", s.url+"/v1/models/asleep:predict", `{"instances":[[1]]}`).fails(t, 503, "")
	ask(t, "GET", s.url+"/v1/models/digits:predict", "").fails(t, 405, "POST")
	ask(t, "POST", s.url+"/v1/models/digits:explain", "{}").fails(t, 405, "GET")
	for path, want := range map[string]string{"/v1/models/digits": `{"name":"digits","ready":true}`, "/v1/models/asleep": `{"name":"asleep","ready":false}`} {
		if r := ask(t, "GET", s.url+path, ""); r.body != want || (r.status == 200) != strings.Contains(want, "true") {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := ask(t, "GET", s.url+"/v1/models", ""); r.status != 200 || !strings.Contains(r.body, `"digits"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// A member that is there twice is refused: readers differ in which of the two they take.
func TestMembersTwice(t *testing.T) {
	s := serve(t)
	x := `{"name":"x","datatype":"FP32","shape":[1,4,4,1],"data":[` + strings.TrimSuffix(strings.Repeat("0,", 16), ",") + `]`
	for body, what := range map[string]string{
		`{"inputs":[` + x + `}],"inputs":[` + x + `}]}`:            `member "inputs" is there twice`,
		`{"inputs":[` + x + `}],"Inputs":[]}`:                      `member "Inputs" is there twice`,
		`{"inputs":[` + x + `,"data":[1]}]}`:                       `member "data" is there twice`,
		`{"inputs":[` + x + `,"sh\u0061pe":[1,16]}]}`:              `member "shape" is there twice`,
		`{"inputs":[` + x + `}],"parameters":{"a":1,"b":2,"a":3}}`: `member "a" is there twice`,
	} {
		ask(t, "POST", s.url+"/v2/models/digits/infer", body).fails(t, 400, what)
	}
}
