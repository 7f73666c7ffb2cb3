package oip_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/oip/oiptest"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestSettings holds what is wrong with a config before anybody is asked.
func TestSettings(t *testing.T) {
	for _, c := range []struct {
		name, json, want string
	}{
		{"no model", `{"url": "http://x"}`, "model"},
		{"scheme", `{"url": "ftp://x", "model": "m"}`, "/url: "},
		{"password", `{"url": "http://me:pass@x", "model": "m"}`, "/url: holds a name or password; want a token, under token"},
		{"query", `{"url": "http://x/?a=b", "model": "m"}`, "/url: "},
		{"gRPC without port", `{"url": "grpc://x", "model": "m"}`, "/url: \"grpc://x\": gRPC wants host and port alone"},
		{"gRPC with path", `{"url": "grpc://x:1/y", "model": "m"}`, "gRPC wants host and port alone"},
		{"token in clear", `{"url": "http://example.org", "model": "m", "token": "t"}`, "/token: would cross the network in clear"},
		{"token with line feed", `{"url": "https://x", "model": "m", "token": "a\nb"}`, "/token: the value, a secret, has characters that a header cannot hold"},
		{"certificate without TLS", `{"url": "http://x", "model": "m", "ca_file": "f"}`, "/ca_file: has no meaning for http://"},
		{"no such file", `{"url": "https://x", "model": "m", "ca_file": "none.pem"}`, "/ca_file: open"},
		{"range", `{"url": "http://x", "model": "m", "input_range": [1, 1]}`, "/input_range: [1, 1] is empty"},
		{"labels", `{"url": "http://x", "model": "m", "classes": 3, "labels": ["a", "b"]}`, "/labels: 2 names for 3 classes"},
		{"layout", `{"url": "http://x", "model": "m", "shape": [4], "layout": "nchw"}`, "/layout: is nchw, but the shape [4] does not have three dimensions"},
		{"two faults", `{"url": "http://x", "model": "m", "input_range": [1, 1], "cert_file": "f"}`, "; /cert_file: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := configured(t, sdk.Config{JSON: []byte(c.json), BaseDir: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

// TestDiscovery holds what the plugin makes of what a server says of its model.
func TestDiscovery(t *testing.T) {
	const one = `"inputs":[{"name":"x","datatype":"FP32","shape":[-1,6]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,3]}]`
	const two = `{"name":"y","datatype":"FP32","shape":[-1,3]},{"name":"z","datatype":"FP64","shape":[-1,3]}`
	answer := func(columns int) string {
		return output("y", "FP32", fmt.Sprintf("[2,%d]", columns), `"data":[`+strings.Repeat("3,", 2*columns-1)+`3]`)
	}
	for _, c := range []struct {
		name, metadata, answer string
		o                      options
		data                   tensor.Shape
		classes                int
		want                   string // an error, or
		row                    tensor.Shape
		layout                 sdk.Layout
	}{
		{name: "one of each", metadata: one, answer: answer(3), row: tensor.Shape{6}, layout: sdk.Flat},
		{name: "nothing told", metadata: `"inputs":[],"outputs":[]`, answer: answer(3), data: tensor.Shape{6}, row: tensor.Shape{6}, layout: sdk.Flat},
		{name: "nothing told, no data", metadata: `"inputs":[]`, answer: answer(3), want: "/shape: the server does not tell the shape of a row"},
		{name: "shape from the config", metadata: ``, o: options{"shape": []int{2, 3}}, answer: answer(3), row: tensor.Shape{2, 3}, layout: sdk.Flat},
		{name: "two inputs", metadata: strings.Replace(one, `[{"name":"x"`, `[{"name":"m","datatype":"FP32","shape":[1]},{"name":"x"`, 1), answer: answer(3),
			want: "/input: the model has 2 inputs, m (FP32 [1]), x (FP32 [-1 6]): want one"},
		{name: "no such input", metadata: one, o: options{"input": "q"}, want: `/input: the model has no input "q", it has x (FP32 [-1 6])`},
		{name: "two outputs", metadata: `"inputs":[{"name":"x","datatype":"FP32","shape":[-1,6]}],"outputs":[` + two + `]`, want: "/output: the model has 2 outputs"},
		{name: "two outputs, one named", metadata: `"inputs":[{"name":"x","datatype":"FP32","shape":[-1,6]}],"outputs":[` + two + `]`, o: options{"output": "y"}, answer: answer(3), row: tensor.Shape{6}, layout: sdk.Flat},
		{name: "no such output", metadata: one, o: options{"output": "q"}, want: `/output: the model has no output "q"`},
		{name: "texts", metadata: strings.Replace(one, "FP32", "BYTES", 1), want: `/input: input "x" of the model has the datatype BYTES, want FP32, FP64 or UINT8`},
		{name: "other dtype", metadata: one, o: options{"dtype": "FP64"}, want: `/dtype: is FP64, but input "x" of the model takes FP32`},
		{name: "other shape", metadata: one, o: options{"shape": []int{7}}, want: `/shape: is [7], but input "x" of the model has [6] per row`},
		{name: "other data", metadata: one, data: tensor.Shape{5}, want: `the data has rows of shape 5, input "x" of the model wants [6] (flat)`},
		{name: "other classes", metadata: one, answer: answer(3), classes: 4, want: `output "y" of the model has 3 classes, the data has 4`},
		{name: "other labels", metadata: one, answer: answer(3), o: options{"labels": []string{"a", "b"}}, want: "/labels: output \"y\" of the model has 3 classes, the list of names has 2"},
		{name: "one column", metadata: one, answer: answer(1), want: "/kind: the model answers with one number a row"},
		{name: "one column of logits", metadata: one, o: options{"kind": "logits"}, answer: answer(1), row: tensor.Shape{6}, layout: sdk.Flat},
		{name: "channels first", metadata: strings.Replace(one, "[-1,6]", "[-1,3,-1,-1]", 1), data: tensor.Shape{8, 9, 3}, answer: answer(3), row: tensor.Shape{3, 8, 9}, layout: sdk.NCHW},
		{name: "channels last", metadata: strings.Replace(one, "[-1,6]", "[-1,8,9,3]", 1), data: tensor.Shape{8, 9, 3}, answer: answer(3), row: tensor.Shape{8, 9, 3}, layout: sdk.NHWC},
		{name: "open shape, no data", metadata: strings.Replace(one, "[-1,6]", "[-1,3,-1,-1]", 1), want: "/shape: a row has the shape [3 -1 -1], where −1 is open"},
		{name: "huge shape", metadata: strings.Replace(one, "[-1,6]", "[-1,60000000,60000000]", 1), want: "/shape: "},
		{name: "not ready", metadata: `"ready":false,` + one, want: `model "model": the server reports that it is not ready`},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := config(t, serveREST(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				text := "{" + c.metadata + "}"
				if strings.HasSuffix(r.URL.Path, "/infer") {
					text = c.answer
				}
				_, _ = io.WriteString(w, text)
			})), c.o)
			conf.InputShape, conf.Classes = c.data, c.classes
			o, err := configured(t, conf)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q in it", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if info, _ := o.Info(t.Context()); !info.InputShape.Equal(c.row) || info.Layout != c.layout {
				t.Errorf("rows are %v (%v), want %v (%v)", info.InputShape, info.Layout, c.row, c.layout)
			}
		})
	}
}

// TestMissing names a model that the server has not.
func TestMissing(t *testing.T) {
	_, err := configured(t, config(t, serveREST(t, http.NotFoundHandler()), nil))
	if err == nil || !strings.Contains(err.Error(), `model "model": model metadata: HTTP 404 Not Found`) || !strings.HasPrefix(err.Error(), "/model: ") {
		t.Errorf("error %v", err)
	}
}

// TestTooManyRows refuses a batch that the model's configuration does not take.
func TestTooManyRows(t *testing.T) {
	m := &oiptest.Model{Classifier: fake(), Most: 4}
	for _, url := range []string{serveREST(t, m), serveGRPC(t, m)} {
		_, err := configured(t, config(t, url, options{"max_batch": 5}))
		if err == nil || !strings.HasPrefix(err.Error(), "/max_batch: is 5, but the model takes at most 4 rows") {
			t.Errorf("error %v", err)
		}
	}
}

// TestBinaryRefused falls back to JSON where binary tensors are announced and
// not to be had.
func TestBinaryRefused(t *testing.T) {
	var binary, plain int
	conf := config(t, serveREST(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v2":
			_, _ = io.WriteString(w, `{"extensions":["binary_tensor_data"]}`)
		case !strings.HasSuffix(r.URL.Path, "/infer"):
			_, _ = io.WriteString(w, `{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}]}`)
		case r.Header.Get("Inference-Header-Content-Length") != "":
			binary++
			http.Error(w, "what is this?", http.StatusBadRequest)
		default:
			plain++
			_, _ = io.WriteString(w, output("y", "FP32", "[2,2]", `"data":[[1,2],[3,4]]`))
		}
	})), nil)
	predict(t, must(t, conf), rows(2, 2))
	if binary != 1 || plain != 2 {
		t.Errorf("%d binary requests and %d others, want 1 and 2", binary, plain)
	}
}
