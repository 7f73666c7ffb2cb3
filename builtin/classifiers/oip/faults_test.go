package oip_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/oip/oiptest"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// saboteur is a server whose inferences go wrong once it is armed.
type saboteur struct {
	good  http.Handler
	fault func(w http.ResponseWriter, r *http.Request, hit int) bool // false: answer as usual
	armed atomic.Bool
	hits  atomic.Int32 // since armed
}

func (s *saboteur) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.armed.Load() && strings.HasSuffix(r.URL.Path, "/infer") {
		if s.fault(w, r, int(s.hits.Add(1))) {
			return
		}
	}
	s.good.ServeHTTP(w, r)
}

// status answers with a status and a text.
func status(code int, text string) func(http.ResponseWriter, *http.Request, int) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		http.Error(w, text, code)
		return true
	}
}

// body answers with JSON, and what comes behind it, with its length declared.
func body(text, raw string) func(http.ResponseWriter, *http.Request, int) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		if raw != "" {
			w.Header().Set("Inference-Header-Content-Length", strconv.Itoa(len(text)))
		}
		_, _ = io.WriteString(w, text+raw)
		return true
	}
}

// output is an answer with one output.
func output(name, datatype, shape, rest string) string {
	return fmt.Sprintf(`{"model_name":"model","outputs":[{"name":%q,"datatype":%q,"shape":%s,%s}]}`, name, datatype, shape, rest)
}

// cut declares more than it sends and closes the connection.
func cut(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"outputs":`)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// hang reads the request and answers nothing until the client is gone.
func hang(_ http.ResponseWriter, r *http.Request, _ int) bool {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	return true
}

const secret = "s3cr3t-t0ken"

// TestFaultsREST holds kind, message and number of requests of everything that
// a server can do wrong. Two rows are asked for; a good answer is 2×3.
func TestFaultsREST(t *testing.T) {
	binary := func(size int) string { return `"parameters":{"binary_data_size":` + strconv.Itoa(size) + `}` }
	nan := string([]byte{0, 0, 0xc0, 0x7f})
	elsewhere := serveREST(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	for _, c := range []struct {
		name  string
		fault func(http.ResponseWriter, *http.Request, int) bool
		kind  sdk.Kind // 0: no error
		want  string
		hits  int
	}{
		{"503 twice, then fine", func(w http.ResponseWriter, r *http.Request, hit int) bool {
			return hit <= 2 && status(503, "busy")(w, r, hit)
		}, 0, "", 3},
		{"cut mid-body, then fine", func(w http.ResponseWriter, _ *http.Request, hit int) bool {
			if hit == 1 {
				cut(w)
			}
			return false
		}, 0, "", 2},
		{"503 for ever", status(503, "busy"), sdk.FailedPrecondition, "HTTP 503 Service Unavailable: busy (given up after 3 tries)", 3},
		{"429", status(429, "slow down"), sdk.FailedPrecondition, "HTTP 429 Too Many Requests", 3},
		{"504", status(504, "<html>\n\tgateway\x07"), sdk.FailedPrecondition, "HTTP 504 Gateway Timeout: <html> gateway (given", 3},
		{"cut for ever", func(w http.ResponseWriter, _ *http.Request, _ int) bool { cut(w); return true },
			sdk.FailedPrecondition, "the connection was cut after 11 bytes of the answer (given up after 3 tries)", 3},
		{"never answers", hang, sdk.FailedPrecondition, "no answer within 3s", 1},
		{"401", status(401, "token "+secret+" is wrong"), sdk.FailedPrecondition, "HTTP 401 Unauthorized: token *** is wrong; is the token right?", 1},
		{"404", status(404, `{"error":"model was unloaded"}`), sdk.FailedPrecondition, "HTTP 404 Not Found: model was unloaded", 1},
		{"400", status(400, `{"error":"bad rows"}`), sdk.InvalidArgument, "HTTP 400 Bad Request: bad rows", 1},
		{"413", status(413, ""), sdk.ResourceExhausted, "HTTP 413 Request Entity Too Large", 1},
		{"500", status(500, `{"detail":{"why":"a bug"}}`), sdk.Internal, `HTTP 500 Internal Server Error: {"why":"a bug"}`, 1},
		{"302", func(w http.ResponseWriter, r *http.Request, _ int) bool {
			http.Redirect(w, r, elsewhere, http.StatusFound)
			return true
		}, sdk.FailedPrecondition, "redirects to \"http://127.0.0.1:", 1},
		{"HTML", body("<html>hello</html>", ""), sdk.Internal, "not the JSON of the Open Inference Protocol", 1},
		{"nothing", body("", ""), sdk.Internal, "not the JSON of the Open Inference Protocol", 1},
		{"no outputs", body(`{}`, ""), sdk.Internal, `output "scores": it is not in the answer, which has none`, 1},
		{"other output", body(output("label", "INT64", "[2]", `"data":[1,2]`), ""), sdk.Internal, `output "scores": it is not in the answer, which has label (INT64 [2])`, 1},
		{"too few rows", body(output("scores", "FP32", "[1,3]", `"data":[1,2,3]`), ""), sdk.Internal, `output "scores": its shape is [1 3], want 2×3`, 1},
		{"too many classes", body(output("scores", "FP32", "[2,4]", `"data":[1,2,3,4,5,6,7,8]`), ""), sdk.Internal, "its shape is [2 4], want 2×3", 1},
		{"transposed", body(output("scores", "FP32", "[3,2]", `"data":[1,2,3,4,5,6]`), ""), sdk.Internal, "its shape is [3 2], want 2×3", 1},
		{"negative shape", body(output("scores", "FP32", "[2,-3]", `"data":[1]`), ""), sdk.Internal, "its shape is [2 -3], want 2×3", 1},
		{"shape that overflows", body(output("scores", "FP32", "[2,4294967296,4294967296,3]", `"data":[1]`), ""), sdk.Internal, "want 2×3", 1},
		{"wrong datatype", body(output("scores", "INT64", "[2,3]", `"data":[1,2,3,4,5,6]`), ""), sdk.Internal, `output "scores": its datatype is "INT64", want FP32 or FP64`, 1},
		{"too few numbers", body(output("scores", "FP32", "[2,3]", `"data":[1,2,3,4,5]`), ""), sdk.Internal, "5 numbers for FP32 [2 3], want 6", 1},
		{"too many numbers", body(output("scores", "FP32", "[2,3]", `"data":[[1,2,3],[4,5,6],[7]]`), ""), sdk.Internal, "7 numbers for FP32 [2 3], want 6", 1},
		{"no numbers", body(output("scores", "FP32", "[2,3]", `"data":null`), ""), sdk.Internal, `output "scores": 4 bytes of data for FP32 [2 3]`, 1},
		{"texts", body(output("scores", "FP32", "[2,3]", `"data":["a","b",3,4,5,6]`), ""), sdk.Internal, `output "scores": "a", want numbers`, 1},
		{"null", body(output("scores", "FP32", "[2,3]", `"data":[1,2,3,4,null,6]`), ""), sdk.Internal, "row 1, column 1 is null, want a finite number", 1},
		{"NaN in JSON", body(output("scores", "FP32", "[2,3]", `"data":[1,2,3,4,NaN,6]`), ""), sdk.Internal, "holds NaN or Infinity", 1},
		{"too large for float32", body(output("scores", "FP64", "[2,3]", `"data":[1,2,3,4,5,1e300]`), ""), sdk.Internal, "row 1, column 2 is +Inf", 1},
		{"truncated binary", body(output("scores", "FP32", "[2,3]", binary(24)), "0123456789"), sdk.Internal, "it declares 24 bytes, 10 are left", 1},
		{"short binary", body(output("scores", "FP32", "[2,3]", binary(20)), strings.Repeat("x", 20)), sdk.Internal, "20 bytes for FP32 [2 3], want 24", 1},
		{"negative binary", body(output("scores", "FP32", "[2,3]", binary(-1)), "x"), sdk.Internal, "it declares -1 bytes", 1},
		{"NaN in binary", body(output("scores", "FP32", "[2,3]", binary(24)), strings.Repeat("\x00\x00\x00\x00", 4)+nan+"\x00\x00\x00\x00"), sdk.Internal, "row 1, column 1 is NaN, want a finite number", 1},
		{"header beyond the end", func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.Header().Set("Inference-Header-Content-Length", "99999999999999999999")
			_, _ = io.WriteString(w, "{}")
			return true
		}, sdk.Internal, `Inference-Header-Content-Length is "99999999999999999999", the answer has 2 bytes`, 1},
		{"huge Content-Length", func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.Header().Set("Content-Length", strconv.FormatInt(math.MaxInt64, 10))
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, sdk.Internal, "the answer has 9223372036854775807 bytes, want at most 1048576", 1},
		{"endless", func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			for block := make([]byte, 1<<16); ; {
				if _, err := w.Write(block); err != nil {
					return true
				}
			}
		}, sdk.Internal, "the answer has more than 1048576 bytes", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &saboteur{good: &oiptest.Model{Classifier: fake()}, fault: c.fault}
			url := serveREST(t, s)
			o := must(t, config(t, url, options{"retries": 2, "timeout": patience(c.want), "token": secret, "max_response_mb": 1}))
			s.armed.Store(true)
			x := rows(2, 6)
			y, err := o.Predict(t.Context(), x)
			if hits := int(s.hits.Load()); hits != c.hits {
				t.Errorf("%d requests, want %d", hits, c.hits)
			}
			if c.kind == 0 {
				if err != nil {
					t.Fatal(err)
				}
				same(t, y, predict(t, fake(), x))
				return
			}
			refused(t, err, c.kind, url+`, model "model": infer: `, c.want)
		})
	}
}

// patience is the timeout for a test that wants some error: long unless it
// waits for its end.
func patience(want string) float64 {
	if strings.Contains(want, "no answer within 3s") {
		return 3
	}
	return 60
}

// refused wants an error of a kind that says some things, and no secret.
func refused(t *testing.T, err error, kind sdk.Kind, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	if k := sdk.KindOf(err); k != kind {
		t.Errorf("kind %v, want %v", k, kind)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q, want %q in it", err, w)
		}
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("the error shows the token: %v", err)
	}
}

// TestGone asks a server that was there.
func TestGone(t *testing.T) {
	for _, c := range []struct{ name, want string }{{"REST", "connection refused (given up after 3 tries)"}, {"gRPC", "gRPC Unavailable: "}} {
		t.Run(c.name, func(t *testing.T) {
			url := deadAddress(t)
			if c.name == "REST" {
				url = "http://" + url
			} else {
				url = "grpc://" + url
			}
			_, err := configured(t, config(t, url, options{"retries": 2, "timeout": 60}))
			refused(t, err, sdk.FailedPrecondition, url, c.want, "(given up after 3 tries)")
		})
	}
}

// TestCancel ends a request that never ends.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &saboteur{good: &oiptest.Model{Classifier: fake()}}
	s.fault = func(w http.ResponseWriter, r *http.Request, hit int) bool {
		cancel()
		return hang(w, r, hit)
	}
	o := must(t, config(t, serveREST(t, s), nil))
	s.armed.Store(true)
	if _, err := o.Predict(ctx, rows(2, 6)); !errors.Is(err, context.Canceled) || s.hits.Load() != 1 {
		t.Errorf("error %v after %d requests, want that of the context after one", err, s.hits.Load())
	}
}

// TestCancelPause ends the pause before a retry.
func TestCancelPause(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &saboteur{good: &oiptest.Model{Classifier: fake()}}
	s.fault = func(w http.ResponseWriter, r *http.Request, hit int) bool {
		defer cancel()
		w.Header().Set("Retry-After", "20")
		return status(503, "")(w, r, hit)
	}
	o := must(t, config(t, serveREST(t, s), nil))
	s.armed.Store(true)
	if _, err := o.Predict(ctx, rows(2, 6)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// TestUINT8 sends whole numbers, or none.
func TestUINT8(t *testing.T) {
	var got []byte
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/infer"):
			got, _ = io.ReadAll(r.Body)
			body(output("y", "FP32", "[2,2]", `"data":[[0.5,0.5],[1,0]]`), "")(w, r, 0)
		case r.URL.Path == "/v2":
			_, _ = io.WriteString(w, `{}`)
		default:
			_, _ = io.WriteString(w, `{"inputs":[{"name":"x","datatype":"UINT8","shape":[-1,2]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,2]}]}`)
		}
	})
	url := serveREST(t, h)
	o := must(t, config(t, url, nil))
	x := tensor.From([]float32{0, 255, 7, 8}, 2, 2)
	predict(t, o, x)
	if want := `{"inputs":[{"name":"x","datatype":"UINT8","shape":[2,2],"data":[0,255,7,8]}],"outputs":[{"name":"y"}]}`; string(got) != want {
		t.Errorf("sent %s, want %s", got, want)
	}
	x.Data[3] = 8.5
	_, err := o.Predict(t.Context(), x)
	refused(t, err, sdk.InvalidArgument, "row 1, feature 1 is 8.5")
	o = must(t, config(t, url, options{"rounding": "nearest"}))
	x.Data[0] = -3
	predict(t, o, x)
	if !strings.Contains(string(got), `"data":[0,255,7,8]`) {
		t.Errorf("sent %s", got)
	}
}
