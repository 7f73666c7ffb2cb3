package builtin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
)

// TestExportOnMLServer: exported guards that MLServer serves by the runtime of
// host/serve/deploy/mlserver, over REST and gRPC, say what Detect says.
func TestExportOnMLServer(t *testing.T) {
	python := os.Getenv("VAEGUARD_MLSERVER_PYTHON")
	if python == "" {
		t.Skip("VAEGUARD_MLSERVER_PYTHON names no Python with the packages of classifiers/oip/testdata/requirements.txt")
	}
	if testing.Short() {
		t.Skip("starting a server of Python takes a quarter of a minute")
	}
	folder := t.TempDir()
	wanted := make(map[string]*detect.Result)
	guards := make(map[string]*host.Detector)
	for name, guard := range map[string]string{"flat": "flat kl", "image": "image kl"} {
		at := filepath.Join(folder, name)
		if err := os.Mkdir(at, 0o700); err != nil {
			t.Fatal(err)
		}
		d := exportGuard(t, t.TempDir(), guard, exported[guard])
		rows, err := d.Experiment.Rows(dataset.RoleCalibration)
		if err != nil {
			t.Fatal(err)
		}
		if wanted[name], err = d.Detector.Detect(t.Context(), rows.X, detect.Include{}); err != nil {
			t.Fatal(err)
		}
		guards[name] = d
		writeArray(t, filepath.Join(at, "x.npy"), rawDigits(t, d, rows))
		graph, err := d.Export(t.Context(), host.ExportOptions{Classifier: true})
		if err != nil {
			t.Fatal(err)
		}
		runtime, err := os.ReadFile("../host/serve/deploy/mlserver/onnx_guard.py")
		if err != nil {
			t.Fatal(err)
		}
		settings, err := os.ReadFile("../host/serve/deploy/mlserver/model-settings.json")
		if err != nil {
			t.Fatal(err)
		}
		settings = bytes.ReplaceAll(settings, []byte(`"guard"`), fmt.Appendf(nil, "%q", name))
		for file, data := range map[string][]byte{"guard.onnx": graph.Guard, "onnx_guard.py": runtime, "model-settings.json": settings} {
			if err := os.WriteFile(filepath.Join(at, file), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	rest, remote := serveOnMLServer(t, python, folder, "flat", "image")
	cmd := exec.CommandContext(t.Context(), python, "testdata/export_client.py", rest, remote, folder, "flat", "image")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, complaint.Bytes())
	}
	var said map[string]verdicts
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatal(err)
	}
	for name, want := range wanted {
		for _, way := range []string{"http", "grpc"} {
			t.Run(name+" "+way, func(t *testing.T) {
				sameVerdicts(t, said[name+" "+way], want, guards[name])
			})
		}
	}
}

// sameVerdicts holds what a server answered to what Detect says, but for flags of rows whose
// score is the threshold to a rounding.
func sameVerdicts(t *testing.T, got verdicts, want *detect.Result, d *host.Detector) {
	t.Helper()
	if len(got.Score) != len(want.Score) {
		t.Fatalf("%d rows, want %d", len(got.Score), len(want.Score))
	}
	compareScores(t, got.Score, want, closeness(d))
	flagged := 0
	for i, w := range want.Score {
		tie := math.Abs(w-d.Threshold().Value) <= 1e-4*(1+math.Abs(w))
		if (got.Flag[i] == 1) != want.Adversarial[i] && !tie {
			t.Errorf("row %d is flagged: %d, want %v", i, got.Flag[i], want.Adversarial[i])
		}
		if got.Predicted[i] != want.Predicted[i] || got.Reconstructed[i] != want.Reconstructed[i] || got.Corrected[i] != want.Corrected[i] && !tie {
			t.Errorf("row %d has classes %d, %d, %d, want %d, %d, %d", i, got.Predicted[i], got.Reconstructed[i], got.Corrected[i],
				want.Predicted[i], want.Reconstructed[i], want.Corrected[i])
		}
		flagged += got.Flag[i]
	}
	if flagged == 0 || flagged == len(want.Score) {
		t.Errorf("%d of %d rows are flagged: the guard shows nothing", flagged, len(want.Score))
	}
}

// serveOnMLServer starts MLServer on a folder of models, and gives its addresses over HTTP and gRPC
// when all of them are ready.
func serveOnMLServer(t *testing.T, python, folder string, models ...string) (rest, remote string) {
	t.Helper()
	var free []net.Listener
	ports := make(map[string]int)
	for _, name := range []string{"http_port", "grpc_port", "metrics_port"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[name] = l.Addr().(*net.TCPAddr).Port
		free = append(free, l)
	}
	for _, l := range free {
		_ = l.Close() // for the server
	}
	settings, err := json.Marshal(map[string]any{"host": "127.0.0.1", "parallel_workers": 0, "debug": false,
		"http_port": ports["http_port"], "grpc_port": ports["grpc_port"], "metrics_port": ports["metrics_port"]})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "settings.json"), settings, 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(python, "-c", "from mlserver.cli import main; main()", "start", folder)
	var log bytes.Buffer
	server.Stdout, server.Stderr, server.Dir = &log, &log, folder
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = server.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = server.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("the server's log:\n%s", log.Bytes())
		}
	})
	rest, remote = fmt.Sprintf("127.0.0.1:%d", ports["http_port"]), fmt.Sprintf("127.0.0.1:%d", ports["grpc_port"])
	for _, model := range models {
		for tries := 0; ; tries++ {
			if a, err := http.Get("http://" + rest + "/v2/models/" + model + "/ready"); err == nil {
				_ = a.Body.Close()
				if a.StatusCode == http.StatusOK {
					break
				}
			}
			select {
			case <-ended:
				t.Fatalf("the server has ended; does its Python have what classifiers/oip/testdata/requirements.txt names?")
			case <-time.After(200 * time.Millisecond):
			}
			if tries == 1200 { // four minutes: a cold import under load
				t.Fatalf("the server has no model %s", model)
			}
		}
	}
	return rest, remote
}
