package oip_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/serve/oip"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// pythonOf is the Python that a variable names, with packages of clients.
func pythonOf(t *testing.T, variable string) string {
	t.Helper()
	p := os.Getenv(variable)
	if p == "" {
		t.Skip(variable + " names no Python with clients of the protocol")
	}
	if testing.Short() {
		t.Skip("the clients take a quarter of a minute to import")
	}
	return p
}

// talk runs a program and gives what it prints.
func talk(t *testing.T, stdin []byte, program string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", program, args, err, out, complaint.Bytes())
	}
	return out
}

// asked is what the clients are given: the rows of new.npy, and the columns of
// new.csv.
func asked(t *testing.T) []byte {
	t.Helper()
	x := images(12)
	rows := make([][][][]int, 12)
	for i := range rows {
		for r := range 4 {
			rows[i] = append(rows[i], nil)
			for c := range 4 {
				rows[i][r] = append(rows[i][r], []int{int(x.Raw[16*i+4*r+c])})
			}
		}
	}
	columns := map[string][2]any{}
	for _, c := range readColumns(t, file("table", "new.csv")) {
		columns[c.Name] = [2]any{c.Datatype, json.RawMessage(c.AppendData(nil))}
	}
	b, err := json.Marshal(map[string]any{"rows": rows, "columns": columns})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// plain are the models of both, and the loans under a name that clients do not have to
// escape: not all do.
func plain() *guards {
	g := both()
	g.models = append(g.models, &guard{name: "loans", version: "1", d: loans()})
	return g
}

// sameAs compares what clients were told with detect. whole are the rows of the table
// without a missing value.
func sameAs(t *testing.T, out []byte, least int) {
	t.Helper()
	var said map[string]map[string][]float64
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("%.300s: %v", out, err)
	}
	if len(said) < least {
		t.Errorf("%d ways to ask, want %d", len(said), least)
	}
	table := verdict(detected(t, loans(), file("table", "new.csv"), detect.Include{}))
	for how, outputs := range said {
		want := table
		switch kind, _, _ := strings.Cut(how, ":"); kind {
		case "images":
			want = verdict(detected(t, digits(), file("images", "new.npy"), detect.Include{}))
		case "whole table":
			want = verdict(detected(t, loans(), wholeRows(t), detect.Include{}))
		case "table":
		default:
			t.Fatalf("%q", how)
		}
		for _, w := range want {
			got := outputs[w.Name]
			if len(got) != w.N() {
				t.Errorf("%s: %d values of %s, want %d", how, len(got), w.Name, w.N())
				continue
			}
			for i, v := range got {
				if math.Float64bits(v) != math.Float64bits(w.Float64(i)) {
					t.Errorf("%s: %s of row %d is %v, want %v", how, w.Name, i, v, w.Float64(i))
				}
			}
		}
	}
}

// wholeRows is a file of the rows of new.csv that lack nothing.
func wholeRows(t *testing.T) string {
	t.Helper()
	var keep []string
	for _, l := range strings.Split(read(t, file("table", "new.csv")), "\n") {
		if !strings.Contains(l, ",,") {
			keep = append(keep, l)
		}
	}
	path := filepath.Join(t.TempDir(), "whole.csv")
	if err := os.WriteFile(path, []byte(strings.Join(keep, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTritonClients: tritonclient over HTTP, gRPC and their asyncio kin, binary, JSON and
// compressed, is told what detect says.
func TestTritonClients(t *testing.T) {
	python := pythonOf(t, "VAEGUARD_OIP_PYTHON")
	g := plain()
	root := oip.Options{Admin: true}
	out := talk(t, asked(t), python, "testdata/triton_client.py", strings.TrimPrefix(serveREST(t, g, oip.Options{}), "http://"), serveGRPC(t, g, oip.Options{}),
		strings.TrimPrefix(serveREST(t, g, root), "http://"), serveGRPC(t, g, root))
	sameAs(t, out, 20)
	if got := strings.Join(g.loads, ", "); got != "load digits, unload digits, load digits, unload digits" {
		t.Errorf("the models were told to %s", got)
	}
}

// TestKServeClients: so are KServe's clients of REST and gRPC.
func TestKServeClients(t *testing.T) {
	python := pythonOf(t, "VAEGUARD_OIP_PYTHON")
	g := plain()
	sameAs(t, talk(t, asked(t), python, "testdata/kserve_client.py", strings.TrimPrefix(serveREST(t, g, oip.Options{}), "http://"), serveGRPC(t, g, oip.Options{})), 6)
}

// TestMLServerClient: what MLServer's codecs and its command write is understood, and what
// is answered is what detect says.
func TestMLServerClient(t *testing.T) {
	python := pythonOf(t, "VAEGUARD_MLSERVER_PYTHON")
	g := plain()
	out := talk(t, asked(t), python, "testdata/mlserver_client.py", strings.TrimPrefix(serveREST(t, g, oip.Options{}), "http://"), serveGRPC(t, g, oip.Options{}), t.TempDir())
	sameAs(t, out, 7)
}

// TestCurl: the protocol by hand.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl, which this asks the server with, is not there")
	}
	url := serveREST(t, both(), oip.Options{})
	x := images(12)
	body := `{"inputs":[{"name":"x","datatype":"UINT8","shape":[12,16],"data":` + string(x.AppendData(nil)) + `}]}`
	want := verdict(detected(t, digits(), file("images", "new.npy"), detect.Include{}))
	for how, args := range map[string][]string{
		"JSON":       {"-d", "@-"},
		"compressed": {"--compressed", "-H", "Expect: 100-continue", "-H", "Content-Type: application/json", "--data-binary", "@-"},
		"chunked":    {"-H", "Transfer-Encoding: chunked", "--data-binary", "@-"},
	} {
		out := talk(t, []byte(body), curl, append(args, "-sS", "--fail-with-body", "--noproxy", "*", url+"/v2/models/digits/infer")...)
		r, err := tensors.ParseResponse(out, -1, tensors.Limits{})
		if err != nil {
			t.Fatalf("%s: %s: %v", how, out, err)
		}
		sameTensors(t, how, r.Outputs, want)
	}
}

// TestGRPCurl: a client that knows the protocol by reflection alone.
func TestGRPCurl(t *testing.T) {
	grpcurl := os.Getenv("VAEGUARD_GRPCURL")
	if grpcurl == "" {
		t.Skip("VAEGUARD_GRPCURL names no grpcurl")
	}
	address := serveGRPC(t, both(), oip.Options{})
	run := func(stdin string, args ...string) string {
		return string(talk(t, []byte(stdin), grpcurl, append([]string{"-plaintext"}, args...)...))
	}
	if got := run("", address, "list"); !strings.Contains(got, "inference.GRPCInferenceService\n") || !strings.Contains(got, "grpc.health.v1.Health\n") {
		t.Errorf("list: %s", got)
	}
	if got := run("", address, "describe", "inference.ModelInferRequest"); !strings.Contains(got, "repeated bytes raw_input_contents = 7;") {
		t.Errorf("describe: %s", got)
	}
	if got := run("", address, "grpc.health.v1.Health/Check"); !strings.Contains(got, "SERVING") {
		t.Errorf("health: %s", got)
	}
	raw := base64.StdEncoding.EncodeToString(images(12).Raw)
	got := run(`{"model_name":"digits","inputs":[{"name":"x","datatype":"UINT8","shape":[12,16]}],"raw_input_contents":["`+raw+`"],"outputs":[{"name":"instance_score"}]}`,
		"-d", "@", address, "inference.GRPCInferenceService/ModelInfer")
	var answer struct{ RawOutputContents [][]byte }
	if err := json.Unmarshal([]byte(got), &answer); err != nil || len(answer.RawOutputContents) != 1 || len(answer.RawOutputContents[0]) != 12*8 {
		t.Fatalf("%s: %v", got, err)
	}
	want := detected(t, digits(), file("images", "new.npy"), detect.Include{})
	for i, w := range want.Score {
		if v := binary.LittleEndian.Uint64(answer.RawOutputContents[0][8*i:]); v != math.Float64bits(w) {
			t.Errorf("row %d: %v, want %v", i, math.Float64frombits(v), w)
		}
	}
}
