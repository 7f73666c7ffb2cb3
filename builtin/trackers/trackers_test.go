package trackers

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/track"
)

// python is the interpreter that has tensorboard and mlflow; .ci/run sets it.
func pythonWith(t *testing.T) string {
	t.Helper()
	path := os.Getenv("VAEGUARD_TRACKERS_PYTHON")
	if path == "" {
		t.Skip("set VAEGUARD_TRACKERS_PYTHON to a Python with testdata/requirements.txt to run this")
	}
	return path
}

// session opens a session at one tracker, as a run does, whose warnings are faults.
func session(t *testing.T, target, dir string, resume bool) *track.Session {
	t.Helper()
	chosen, err := track.Parse(Table(), []string{target})
	if err != nil {
		t.Fatal(err)
	}
	return track.Open(t.Context(), chosen, track.Run{
		Name: "first", Group: "credit cards", Beside: dir + string(filepath.Separator), Resume: resume, At: time.Now(),
		Params: []track.Param{{Name: "attacks[0].pgd.eps", Value: "0.1"}, {Name: "name", Value: "a | <b>"}, {Name: "long", Value: strings.Repeat("ä", 400)}},
	}, track.Settings{State: filepath.Join(dir, "track.json"), Call: 5 * time.Minute, Grace: 30 * time.Minute, Warn: func(text string) { t.Error(text) }})
}

// loss is the loss of an epoch: a number that a float32 holds.
func loss(epoch int) float64 { return 1 / math.Exp2(float64(epoch)) }

// interruptedRun tells epochs 1 to 3, is interrupted, trains the third again, and
// goes on to the fifth.
func interruptedRun(t *testing.T, target, dir string) {
	t.Helper()
	file := filepath.Join(dir, "report.html")
	if err := os.WriteFile(file, []byte("<html>"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := session(t, target, dir, false)
	for k := 1; k <= 3; k++ {
		s.Metrics(k, []track.Value{{Name: "loss", Value: loss(k)}, {Name: "val_loss", Value: math.NaN()}})
	}
	s.Close(track.Interrupted)
	s = session(t, target, dir, true)
	for k := 3; k <= 5; k++ {
		s.Metrics(k, []track.Value{{Name: "loss", Value: loss(k)}, {Name: "val_loss", Value: .5}})
	}
	s.Metrics(5, []track.Value{{Name: "attacks.pgd.detected", Value: .75}})
	s.Artifact(file)
	s.Close(track.Finished)
}

// readBack is what read.py prints.
type readBack struct {
	Scalars   map[string][][2]float64
	Params    map[string]any
	Group     string
	Status    any
	Text      string
	Artifacts []string
}

func read(t *testing.T, args ...string) readBack {
	t.Helper()
	cmd := exec.Command(pythonWith(t), append([]string{filepath.Join("testdata", "read.py")}, args...)...)
	cmd.Env = append(os.Environ(), "MLFLOW_ALLOW_FILE_STORE=true")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("read.py: %v\n%s", err, stderr.Bytes())
	}
	var r readBack
	if err := json.Unmarshal(bytes.ReplaceAll(out, []byte("NaN"), []byte("-1")), &r); err != nil {
		t.Fatalf("%v: %.500s", err, out)
	}
	return r
}

// checkRead holds what a tracker has of interruptedRun against what it was told:
// each epoch once.
func checkRead(t *testing.T, r readBack) {
	t.Helper()
	var want [][2]float64
	for k := 1; k <= 5; k++ {
		want = append(want, [2]float64{float64(k), loss(k)})
	}
	if !slices.Equal(r.Scalars["loss"], want) {
		t.Errorf("loss %v, want %v", r.Scalars["loss"], want)
	}
	if got := r.Scalars["attacks.pgd.detected"]; !slices.Equal(got, [][2]float64{{5, .75}}) {
		t.Errorf("detected %v", got)
	}
	if got := r.Scalars["val_loss"]; len(got) < 5 || got[len(got)-1] != [2]float64{5, .5} {
		t.Errorf("val_loss %v", got)
	}
	if r.Group != "first" || r.Params["name"] != "a | <b>" {
		t.Errorf("run %q, params %v", r.Group, r.Params)
	}
}

// TensorBoard reads a run that was interrupted and resumed.
func TestTensorBoardReads(t *testing.T) {
	pythonWith(t)
	dir := t.TempDir()
	interruptedRun(t, "tensorboard", dir)
	r := read(t, "tensorboard", filepath.Join(dir, "tensorboard"))
	checkRead(t, r)
	if r.Status != 1. || r.Params["attacks[0].pgd.eps"] != .1 || !strings.Contains(r.Text, `| name | a \| &lt;b> |`) {
		t.Errorf("status %v, params %v, text %q", r.Status, r.Params, r.Text)
	}
}

// MLflow reads its file store as this writes it.
func TestMLflowReadsStore(t *testing.T) {
	pythonWith(t)
	dir := t.TempDir()
	store := filepath.Join(dir, "a store")
	interruptedRun(t, "mlflow:"+store, dir)
	r := read(t, "mlflow", store, "credit cards")
	checkRead(t, r)
	if r.Status != "FINISHED" || r.Params["attacks.0.pgd.eps"] != "0.1" || !slices.Equal(r.Artifacts, []string{"report.html"}) {
		t.Errorf("%+v", r)
	}
}

// A real tracking server takes a run, and gives it back to MLflow's client.
func TestMLflowServer(t *testing.T) {
	interpreter := pythonWith(t)
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	var log bytes.Buffer
	server := exec.Command(interpreter, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1",
		"--backend-store-uri", "sqlite:///"+filepath.Join(dir, "mlflow.db"), "--artifacts-destination", filepath.Join(dir, "artifacts"))
	server.Dir, server.Stdout, server.Stderr = dir, &log, &log
	ownGroup(server)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		endGroup(server)
		_ = server.Wait()
	})
	deadline := time.Now().Add(8 * time.Minute)
	for {
		resp, err := http.Get("http://" + address + "/health")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			endGroup(server)
			_ = server.Wait()
			t.Fatalf("the server does not start:\n%s", log.Bytes())
		}
		time.Sleep(200 * time.Millisecond)
	}
	interruptedRun(t, "mlflow:http://"+address, dir)
	r := read(t, "mlflow", "http://"+address, "credit cards")
	checkRead(t, r)
	if r.Status != "FINISHED" || r.Params["attacks.0.pgd.eps"] != "0.1" || !slices.Equal(r.Artifacts, []string{"report.html"}) {
		t.Errorf("%+v", r)
	}
}

// A record is what the format says: lengths, messages and their masked checksums.
func TestRecord(t *testing.T) {
	// RFC 3720, B.4: the CRC-32C of 32 zeros is aa 36 91 8a.
	zeros := make([]byte, 32)
	if crc := crc32.Checksum(zeros, crc32.MakeTable(crc32.Castagnoli)); crc != 0x8a9136aa {
		t.Fatalf("CRC-32C %08x", crc)
	}
	crc := uint32(0x8a9136aa)
	want := (crc>>15 | crc<<17) + 0xa282ead8 // tensorflow/tsl/lib/hash/crc32c.h
	r := record(zeros)
	if len(r) != 8+4+32+4 || binary.LittleEndian.Uint64(r) != 32 || !bytes.Equal(r[12:44], zeros) || binary.LittleEndian.Uint32(r[44:]) != want {
		t.Errorf("record % x", r)
	}
	if binary.LittleEndian.Uint32(r[8:]) != masked(r[:8]) {
		t.Error("the length's checksum is not the length's")
	}
}

// Runs of one name keep folders of their own; a resumed one goes on in its own.
func TestTensorBoardFolders(t *testing.T) {
	dir := t.TempDir()
	board := filepath.Join(dir, "boards")
	for _, resume := range []bool{false, false, true} {
		s := session(t, "tensorboard:"+board, dir, resume)
		s.Metrics(1, []track.Value{{Name: "loss", Value: 1}})
		s.Close(track.Finished)
	}
	for name, want := range map[string]int{"first": 1, "first-2": 2} {
		if got := eventFiles(filepath.Join(board, name)); len(got) != want {
			t.Errorf("%s has %v, want %d files", name, got, want)
		}
	}
}

// Names of metrics and params are those that MLflow takes, and no path leads out.
func TestKey(t *testing.T) {
	for name, want := range map[string]string{
		"attacks[0].pgd.eps": "attacks.0.pgd.eps", "val_loss": "val_loss", "a/../../b": "a/_/_/b", "/etc": "_/etc", "é:1": "__1", ".": "_",
		strings.Repeat("x", 300): strings.Repeat("x", 250),
	} {
		if got := key(name); got != want {
			t.Errorf("key(%q) = %q, want %q", name, got, want)
		}
	}
	if v := cut(strings.Repeat("ä", 400)); len(v) > mostValue || !strings.HasSuffix(v, "ä…") {
		t.Errorf("cut to %d bytes: %q", len(v), v)
	}
}

// Targets that cannot be one are refused before a run.
func TestCheck(t *testing.T) {
	t.Setenv(uriVariable, "")
	for target, want := range map[string]string{
		"mlflow":                         "want a server or a folder",
		"mlflow:":                        "nothing follows the colon",
		"mlflow:ftp://me:secret@host/":   "ftp://host/ is neither an address",
		"mlflow:http://":                 "the address of the server is none",
		"tensorboard:http://host":        "http://host is no folder",
		"board":                          `unknown tracker "board"; known: tensorboard, mlflow`,
		"mlflow:http://me:secret@[::1/x": "the address of the server is none",
	} {
		_, err := track.Parse(Table(), []string{target})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", target, err, want)
		}
	}
	got, err := track.Parse(Table(), []string{"tensorboard", "mlflow:http://me:secret@host:5000", "tensorboard"})
	if err != nil || len(got) != 2 || fmt.Sprint(got[1]) != "mlflow:http://host:5000" {
		t.Errorf("%v, %v", got, err)
	}
}

// interface guards of the shipped trackers' runs.
var (
	_ track.Log = (*board)(nil)
	_ track.Log = (*restRun)(nil)
	_ track.Log = (*storeRun)(nil)
)
