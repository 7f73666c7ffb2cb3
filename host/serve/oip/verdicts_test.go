package oip_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/oip"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// verdict are the outputs that every answer has, as detect gives them.
func verdict(r *detect.Result) []tensors.Tensor {
	n := []int64{int64(len(r.Score))}
	flags := make([]int64, len(r.Score))
	for i, f := range r.Adversarial {
		if f {
			flags[i] = 1
		}
	}
	whole := func(list []int) []int64 {
		out := make([]int64, len(list))
		for i, v := range list {
			out[i] = int64(v)
		}
		return out
	}
	return []tensors.Tensor{
		tensors.FromInt64s("is_adversarial", n, flags),
		tensors.FromFloat64s("instance_score", n, r.Score),
		tensors.FromFloat64s("p_value", n, r.PValue),
		tensors.FromInt64s("predicted", n, whole(r.Predicted)),
		tensors.FromInt64s("reconstructed", n, whole(r.Reconstructed)),
		tensors.FromInt64s("corrected", n, whole(r.Corrected)),
	}
}

// detected is what `vaeguard detect` says of a file.
func detected(t testing.TB, d *host.Detector, path string, include detect.Include) *detect.Result {
	t.Helper()
	rows, err := d.Read(path, host.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.DetectRows(t.Context(), rows, include)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sameTensors compares outputs bit for bit.
func sameTensors(t testing.TB, how string, got, want []tensors.Tensor) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d outputs, want %d", how, len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Name != w.Name || g.Datatype != w.Datatype || !slices.Equal(g.Shape, w.Shape) || !bytes.Equal(g.Raw, w.Raw) {
			t.Errorf("%s: output %d is %s %s %v %s, want %s %s %v %s", how, i, g.Name, g.Datatype, g.Shape, g.AppendData(nil), w.Name, w.Datatype, w.Shape, w.AppendData(nil))
		}
	}
}

// post sends a request over REST and reads what comes: the answer of status 200.
func post(t testing.TB, url string, q tensors.Request, binary bool) tensors.Response {
	t.Helper()
	body, header := tensors.AppendRequest(nil, q, func(tensors.Tensor) bool { return binary })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header >= 0 {
		r.Header.Set("Inference-Header-Content-Length", strconv.FormatInt(header, 10))
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s, error %v", url, resp.Status, b, err)
	}
	length := int64(-1)
	if text := resp.Header.Get("Inference-Header-Content-Length"); text != "" {
		if length, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if binary := length >= 0; binary != (resp.Header.Get("Content-Type") == "application/octet-stream") {
		t.Errorf("Content-Type %q, header of %d", resp.Header.Get("Content-Type"), length)
	}
	out, err := tensors.ParseResponse(b, length, tensors.Limits{})
	if err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return out
}

// call sends a request over gRPC.
func call(t testing.TB, c *grpc.ClientConn, q *inference.ModelInferRequest, o ...grpc.CallOption) tensors.Response {
	t.Helper()
	out := &inference.ModelInferResponse{}
	if err := c.Invoke(t.Context(), inference.ModelInfer, q, out, o...); err != nil {
		t.Fatal(err)
	}
	if len(out.RawOutputContents) != len(out.Outputs) {
		t.Errorf("%d raw contents for %d outputs", len(out.RawOutputContents), len(out.Outputs))
	}
	r, err := tensors.FromResponse(out, tensors.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tensorOf(t testing.TB, name string, d tensors.Datatype, shape []int64, data string) tensors.Tensor {
	t.Helper()
	out, err := tensors.ParseData(name, d, shape, []byte(data), tensors.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// images are the rows of new.npy, as bytes.
func images(n int) tensors.Tensor {
	return tensors.Tensor{Name: "x", Datatype: tensors.Uint8, Shape: []int64{int64(n), 4, 4, 1}, Raw: imageBytes(n)}
}

// TestBitsOfDetect: whatever way rows come, the verdicts are those of detect on a file
// of them.
func TestBitsOfDetect(t *testing.T) {
	g := both()
	url, conn := serveREST(t, g, oip.Options{}), dial(t, serveGRPC(t, g, oip.Options{}))
	ask := func(t *testing.T, model string, want []tensors.Tensor, inputs ...tensors.Tensor) {
		t.Helper()
		for _, binaryIn := range []bool{false, true} {
			for _, binaryOut := range []bool{false, true} {
				q := tensors.Request{ID: "a-7", Inputs: inputs, Parameters: tensors.Parameters{"binary_data_output": binaryOut}}
				out := post(t, url+"/v2/models/"+model+"/infer", q, binaryIn)
				how := fmt.Sprintf("REST, binary in %t, out %t", binaryIn, binaryOut)
				if out.ID != "a-7" {
					t.Errorf("%s: id %q", how, out.ID)
				}
				sameTensors(t, how, out.Outputs, want)
			}
		}
		m := tensors.Request{Model: strings.ReplaceAll(model, "%2F", "/"), ID: "a-7", Inputs: inputs}.Message()
		for how, o := range map[string][]grpc.CallOption{"gRPC": nil, "gRPC, gzip": {grpc.UseCompressor(gzip.Name)}, "gRPC, deflate": {grpc.UseCompressor(inference.Deflate)}} {
			out := call(t, conn, m, o...)
			if out.ID != "a-7" || out.Model != m.ModelName {
				t.Errorf("%s: %q %q", how, out.ID, out.Model)
			}
			sameTensors(t, how, out.Outputs, want)
		}
	}
	t.Run("images", func(t *testing.T) {
		want := verdict(detected(t, digits(), file("images", "new.npy"), detect.Include{}))
		x := images(12)
		ask(t, "digits", want, x)
		flat, noChannel := x, x
		flat.Shape, noChannel.Shape = []int64{12, 16}, []int64{12, 4, 4}
		ask(t, "digits", want, flat)
		ask(t, "digits", want, noChannel)
		for _, d := range []tensors.Datatype{tensors.Int16, tensors.Uint64, tensors.FP32, tensors.FP64} {
			same := tensorOf(t, "x", d, x.Shape, string(x.AppendData(nil)))
			ask(t, "digits", want, same)
		}
	})
	t.Run("table", func(t *testing.T) {
		want := verdict(detected(t, loans(), file("table", "new.csv"), detect.Include{}))
		columns := readColumns(t, file("table", "new.csv"))
		ask(t, "lo%2Fans", want, columns...)
		slices.Reverse(columns)
		for i := range columns { // (n, 1) as pandas' codec has it
			columns[i].Shape = append(slices.Clone(columns[i].Shape), 1)
		}
		ask(t, "lo%2Fans", want, columns...)
		ask(t, "lo%2Fans", want, byPosition(columns, "age", "income", "debt", "town", "owns_home"))
	})
}

// readColumns are the columns of a file as a client has them: numbers as FP64, with
// NaN where there is none, and words as BYTES.
func readColumns(t testing.TB, path string) []tensors.Tensor {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(read(t, path)), "\n")
	names := strings.Split(lines[0], ",")
	n := []int64{int64(len(lines) - 1)}
	var out []tensors.Tensor
	for i, name := range names {
		if name == "loan" || name == "officer" {
			continue
		}
		words := name == "town" || name == "owns_home"
		var list []string
		for _, l := range lines[1:] {
			v := strings.Split(l, ",")[i]
			switch {
			case words:
				v = strconv.Quote(v)
			case v == "":
				v = "null"
			}
			list = append(list, v)
		}
		d := tensors.FP64
		if words {
			d = tensors.Bytes
		}
		out = append(out, tensorOf(t, name, d, n, "["+strings.Join(list, ",")+"]"))
	}
	return out
}

// byPosition is one tensor of texts, in the order of the names.
func byPosition(columns []tensors.Tensor, names ...string) tensors.Tensor {
	n := columns[0].N()
	out := tensors.Tensor{Name: "x", Datatype: tensors.Bytes, Shape: []int64{int64(n), int64(len(names))}}
	for i := range n {
		for _, name := range names {
			c := columns[slices.IndexFunc(columns, func(t tensors.Tensor) bool { return t.Name == name })]
			text := ""
			if c.Datatype == tensors.Bytes {
				text = string(c.Texts[i])
			} else if v := c.Float64(i); v == v {
				text = strconv.FormatFloat(v, 'g', -1, 64)
			}
			out.Texts = append(out.Texts, []byte(text))
		}
	}
	return out
}

// TestBytesOfPictures: a detector that learnt from image files takes bytes for what they
// are in those, and floats for intensities.
func TestBytesOfPictures(t *testing.T) {
	g := &guards{models: []*guard{{name: "pictures", version: "1", d: pictures()}}}
	url := serveREST(t, g, oip.Options{}) + "/v2/models/pictures/infer"
	want := verdict(detected(t, pictures(), file("pictures", "new"), detect.Include{}))
	x := images(12)
	all := x.Raw
	x.Raw = nil
	for class := range 3 { // in the order of the files
		for i := class; i < 12; i += 3 {
			x.Raw = append(x.Raw, all[16*i:16*i+16]...)
		}
	}
	sameTensors(t, "bytes", post(t, url, tensors.Request{Inputs: []tensors.Tensor{x}}, true).Outputs, want)
	shares := make([]float32, len(x.Raw))
	for i, b := range x.Raw {
		shares[i] = float32(b) / 255
	}
	sameTensors(t, "intensities", post(t, url, tensors.Request{Inputs: []tensors.Tensor{tensors.FromFloat32s("x", x.Shape, shares)}}, true).Outputs, want)
}

// TestOnRequest: the outputs that are asked for come, in that order, and what is asked
// of the model with them.
func TestOnRequest(t *testing.T) {
	g := both()
	url, conn := serveREST(t, g, oip.Options{Client: func(_ context.Context, peer string) string { return "who came from " + peer }}), dial(t, serveGRPC(t, g, oip.Options{}))
	r := detected(t, digits(), file("images", "new.npy"), detect.Include{Probabilities: true, Reconstruction: true})
	all := verdict(r)
	want := []tensors.Tensor{
		tensors.FromFloat32s("reconstruction", []int64{12, 4, 4, 1}, r.Reconstruction.Data),
		all[3],
		tensors.FromFloat32s("probabilities", []int64{12, 3}, r.Probabilities.Data),
	}
	q := tensors.Request{Model: "digits", Version: "1", Inputs: []tensors.Tensor{images(12), tensors.FromFloat32s("p", []int64{12, 3}, r.Probabilities.Data)},
		Outputs:    []tensors.Output{{Name: "reconstruction", Parameters: tensors.Parameters{"binary_data": true}}, {Name: "predicted"}, {Name: "probabilities"}},
		Parameters: tensors.Parameters{"samples": int64(3), "timeout": int64(60e6)}}
	for how, out := range map[string]tensors.Response{
		"REST": post(t, url+"/v2/models/digits/versions/1/infer", q, true),
		"gRPC": call(t, conn, q.Message()),
	} {
		sameTensors(t, how, out.Outputs, want)
		if out.Version != "1" || out.Parameters["samples"] != int64(3) {
			t.Errorf("%s: version %q, parameters %v", how, out.Version, out.Parameters)
		}
	}
	last := g.models[0].last
	if last.Samples != 3 || !slices.Equal(last.Given.Data, r.Probabilities.Data) || last.Way != "grpc" || last.Client != "127.0.0.1" {
		t.Errorf("the model was asked for %+v", last)
	}
	post(t, url+"/v2/models/digits/versions/1/infer", q, true)
	if last := g.models[0].last; last.Way != "http" || last.Client != "who came from 127.0.0.1" {
		t.Errorf("over REST the way is %q, the client %q", last.Way, last.Client)
	}
}

// TestVotes: a guard that votes gives the verdicts of detect, and proves its radii on
// request; of what it does not have there is no output.
func TestVotes(t *testing.T) {
	g := &guards{models: []*guard{{name: "votes", version: "1", d: votes()}}}
	url := serveREST(t, g, oip.Options{})
	r := detected(t, votes(), file("votes", "new.npy"), detect.Include{CertifiedRadius: true})
	sameTensors(t, "as ever", post(t, url+"/v2/models/votes/infer", tensors.Request{Inputs: []tensors.Tensor{images(12)}}, true).Outputs, verdict(r))
	q := tensors.Request{Inputs: []tensors.Tensor{images(12)}, Outputs: []tensors.Output{{Name: "certified_radius"}}}
	sameTensors(t, "radii", post(t, url+"/v2/models/votes/infer", q, true).Outputs, []tensors.Tensor{tensors.FromFloat64s("certified_radius", []int64{12}, r.CertifiedRadius)})
	if slices.Max(r.CertifiedRadius) == 0 {
		t.Error("nothing is proved of any row")
	}
}
