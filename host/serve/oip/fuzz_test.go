package oip_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/oip"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// fuzzBody is the most bytes of a request that is fuzzed, and fuzzBytes the most memory
// that one may take: some times as many, and what an answer takes.
const (
	fuzzBody  = 1 << 16
	fuzzBytes = 16<<20 + 200*fuzzBody
)

// fuzzed are models that do not judge, so that requests are quick: what is fuzzed ends
// where the judge begins.
func fuzzed() *guards {
	g := both()
	for _, m := range g.models {
		m.fail = func(context.Context) error { return errors.New("judged") }
	}
	return g
}

// FuzzREST: whatever comes over REST is answered, by a status of the protocol's and in
// bounded memory.
func FuzzREST(f *testing.F) {
	f.Add("digits", "", "", "", []byte(oneRow))
	f.Add("digits", "", "gzip", "deflate", []byte(squeezed(oneRow)))
	head := `{"inputs":[{"name":"x","datatype":"UINT8","shape":[1,16],"parameters":{"binary_data_size":16}}],"parameters":{"binary_data_output":true,"samples":1,"timeout":5}}`
	f.Add("digits", strconv.Itoa(len(head)), "", "", []byte(head+strings.Repeat("a", 16)))
	f.Add("lo/ans", "", "", "gzip", []byte(`{"inputs":[{"name":"x","datatype":"BYTES","shape":[1,5],"data":["30","20.5","0.2","north","no"]},{"name":"p","datatype":"FP64","shape":[1,2],"data":[[0.5,0.5]]}],"outputs":[{"name":"probabilities"}]}`))
	f.Add("lo/ans", "", "", "", []byte(`{"inputs":[{"name":"age","datatype":"INT8","shape":[1],"data":[30]},{"name":"income","datatype":"FP16","shape":[1,1],"data":[null]},{"name":"debt","datatype":"BF16","shape":[1],"data":[1]},{"name":"town","datatype":"BYTES","shape":[1],"data":["west"]},{"name":"owns_home","datatype":"BYTES","shape":[1],"data":["no"]}]}`))
	h := oip.Handler(fuzzed(), oip.Options{MaxBody: fuzzBody})
	f.Fuzz(func(t *testing.T, model, header, coding, accept string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/v2", bytes.NewReader(body))
		r.URL.Path, r.URL.RawPath = "/v2/models/"+model+"/infer", ""
		for key, v := range map[string]string{"Inference-Header-Content-Length": header, "Content-Encoding": coding, "Accept-Encoding": accept} {
			if v != "" {
				r.Header.Set(key, v)
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > fuzzBytes {
			t.Fatalf("%d bytes of memory for a body of %d", n, len(body))
		}
		var e map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e["error"] == "" {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		switch w.Code {
		case 400, 404, 405, 413, 415:
		case 500, 504: // judged, or its time was over
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

func squeezed(s string) string {
	var b bytes.Buffer
	z := asGzip(&b)
	_, err := z.Write([]byte(s))
	must(err)
	must(z.Close())
	return b.String()
}

// FuzzGRPC does so for what comes over gRPC.
func FuzzGRPC(f *testing.F) {
	m := tensors.Request{Model: "digits", ID: "1", Parameters: tensors.Parameters{"samples": int64(1), "timeout": 2.}, Inputs: []tensors.Tensor{images(2)}, Outputs: []tensors.Output{{Name: "predicted"}}}.Message()
	add := func() {
		b, err := proto.Marshal(m)
		must(err)
		f.Add(b)
	}
	add()
	m.RawInputContents, m.Inputs[0].Datatype, m.Inputs[0].Shape = nil, "FP32", []int64{1, 16}
	m.Inputs[0].Contents = &inference.InferTensorContents{Fp32Contents: make([]float32, 16)}
	add()
	m.ModelName, m.Inputs[0].Datatype, m.Inputs[0].Shape = "lo/ans", "BYTES", []int64{1, 5}
	m.Inputs[0].Contents = &inference.InferTensorContents{BytesContents: [][]byte{[]byte("30"), nil, []byte("0.2"), []byte("north"), []byte("no")}}
	add()
	infer := oip.ModelInfer(fuzzed(), oip.Options{})
	f.Fuzz(func(t *testing.T, b []byte) {
		decode := func(into any) error { return proto.Unmarshal(b, into.(*emptypb.Empty)) }
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := infer.Handler(nil, t.Context(), decode, nil)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(16<<20+200*len(b)) {
			t.Fatalf("%d bytes of memory for a message of %d", n, len(b))
		}
		switch status.Code(err) {
		case codes.InvalidArgument, codes.NotFound, codes.Internal, codes.DeadlineExceeded:
		default:
			if !errors.Is(err, proto.Error) {
				t.Fatalf("error %v", err)
			}
		}
	})
}
