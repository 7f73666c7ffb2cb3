package oip_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/oip"
)

func TestMain(m *testing.M) {
	builtin.ServeIfPlugin()
	code := m.Run()
	if work != "" {
		if err := errors.Join(closeGuards(), os.RemoveAll(work)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// The detectors that the tests serve are trained once, in work.
var (
	work   string
	opened []*host.Detector

	digits = sync.OnceValue(func() *host.Detector {
		return trained("images", "", func(dir string) string {
			for name, n := range map[string]int{"train": 90, "calibration": 60, "new": 12} {
				writeImages(filepath.Join(dir, name), n)
			}
			return imagesSpec
		})
	})
	// pictures are the digits' rows as image files, which are intensities from 0 to 1
	pictures = sync.OnceValue(func() *host.Detector {
		return trained("pictures", "", func(dir string) string {
			for name, n := range map[string]int{"train": 90, "calibration": 60, "new": 12} {
				writePictures(filepath.Join(dir, name), n)
			}
			spec := strings.Replace(imagesSpec, "data:\n", "data:\n  allow_overlap: true\n", 1) // the files are known by what they hold
			spec = strings.ReplaceAll(spec, ", rescale: {scale: 0.00392156862745098}", "")
			spec = strings.ReplaceAll(spec, "file: train.npy, labels: train-y.npy", "folder: train")
			return strings.ReplaceAll(spec, "file: calibration.npy, labels: calibration-y.npy", "folder: calibration")
		})
	})
	// votes are the digits' rows, judged by votes over noisy copies
	votes = sync.OnceValue(func() *host.Detector {
		return trained("votes", "", func(dir string) string {
			for name, n := range map[string]int{"train": 90, "calibration": 60, "new": 12} {
				writeImages(filepath.Join(dir, name), n)
			}
			spec := strings.Replace(imagesSpec, "{dense: {units: 6}}]", "{dense: {units: 2}}]", 1)
			spec = strings.Replace(strings.Replace(spec, "epochs: 3,", "epochs: 60,", 1), "{fpr: 0.1}", "{value: 0.5}", 1)
			return strings.Replace(spec, "{samples: 4}", "{method: smoothed, sigma: 0.1, votes: 24, proof_votes: 200, alpha: 0.05}", 1)
		})
	})
	loans = sync.OnceValue(func() *host.Detector {
		return trained("table", "train.epochs=4", func(dir string) string {
			for _, name := range []string{"train.csv", "calibration.csv", "test.csv", "new.csv", "guard.yaml"} {
				b, err := os.ReadFile(filepath.Join("..", "..", "..", "examples", "table", name))
				must(err)
				must(os.WriteFile(filepath.Join(dir, name), b, 0o600))
			}
			return ""
		})
	})
)

const imagesSpec = `api_version: vaeguard/v1
kind: Experiment
name: images
seed: 5
data:
  train: {file: train.npy, labels: train-y.npy, rescale: {scale: 0.00392156862745098}}
  calibration: {file: calibration.npy, labels: calibration-y.npy, rescale: {scale: 0.00392156862745098}}
classifier: {plugin: mlp, config: {hidden: [8], range: [0, 1]}, train: {epochs: 5}}
vae: {latent_dim: 2, encoder: [{flatten: {}}, {dense: {units: 6}}], decoder: [{dense: {units: 16}}, {reshape: {target_shape: [4, 4, 1]}}]}
detector: {samples: 4}
train: {epochs: 3, batch_size: 8}
threshold: {fpr: 0.1}
`

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// imageBytes are byte images of 4×4×1 in 3 classes.
func imageBytes(n int) []byte {
	out := make([]byte, 0, 16*n)
	for i := range n {
		for j := range 16 {
			out = append(out, byte(60*(i%3)+(i*31+j*17)%97))
		}
	}
	return out
}

func writeImages(path string, n int) {
	header := fmt.Sprintf("{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 4, 4, 1), }", n)
	header += strings.Repeat(" ", 117-len(header)) + "\n"
	must(os.WriteFile(path+".npy", append([]byte("\x93NUMPY\x01\x00\x76\x00"+header), imageBytes(n)...), 0o600))
	labels := make([]int, n)
	for i := range labels {
		labels[i] = i % 3
	}
	f, err := os.Create(path + "-y.npy")
	must(err)
	must(errors.Join(dataset.WriteNPY(f, dataset.Array{Shape: []int{n}, Data: labels}), f.Close()))
}

// writePictures writes the rows as grey PNG files, in a folder a class.
func writePictures(dir string, n int) {
	x := imageBytes(n)
	for i := range n {
		class := filepath.Join(dir, fmt.Sprint("class", i%3))
		must(os.MkdirAll(class, 0o700))
		f, err := os.Create(filepath.Join(class, fmt.Sprintf("%03d.png", i)))
		must(err)
		m := &image.Gray{Pix: x[16*i : 16*i+16], Stride: 4, Rect: image.Rect(0, 0, 4, 4)}
		must(errors.Join(png.Encode(f, m), f.Close()))
	}
}

// trained is a detector for a spec and files that setup writes; a spec that is empty
// is guard.yaml among them.
func trained(name, set string, setup func(dir string) string) *host.Detector {
	if work == "" {
		var err error
		work, err = os.MkdirTemp("", "oip")
		must(err)
	}
	dir := filepath.Join(work, name)
	must(os.MkdirAll(dir, 0o700))
	path := filepath.Join(dir, "guard.yaml")
	if spec := setup(dir); spec != "" {
		must(os.WriteFile(path, []byte(spec), 0o600))
	}
	var overrides []string
	if set != "" {
		overrides = []string{set}
	}
	e, err := host.Load(path, overrides, builtin.Components(), host.Options{Threads: 1})
	must(err)
	d, err := e.TrainTo(context.Background(), host.TrainOptions{Out: filepath.Join(dir, "detector")})
	must(err)
	opened = append(opened, d)
	return d
}

// file is one that the detector of a name was made beside.
func file(detector, name string) string { return filepath.Join(work, detector, name) }

func closeGuards() error {
	var errs []error
	for _, d := range opened {
		errs = append(errs, d.Close(), d.Experiment.Close())
	}
	return errors.Join(errs...)
}

// guard is a model that judges by its detector, one request at a time.
type guard struct {
	name, version string
	d             *host.Detector

	mu   sync.Mutex
	last judge.Request
	fail func(ctx context.Context) error // nil: it answers
}

func (g *guard) Name() string             { return g.name }
func (g *guard) Version() string          { return g.version }
func (g *guard) Detector() *host.Detector { return g.d }

func (g *guard) Judge(ctx context.Context, r judge.Request) (*detect.Result, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = r
	if g.fail != nil {
		if err := g.fail(ctx); err != nil {
			return nil, err
		}
	}
	return g.d.DetectRows(ctx, r.Rows, r.Include)
}

// guards are models for tests.
type guards struct {
	mu      sync.Mutex
	models  []*guard
	unready map[string]string // why a model is not ready
	loads   []string
	broken  error // of Load and Unload
}

func (g *guards) Lease(name, version string) (judge.Model, func(), error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if reason, ok := g.unready[name]; ok {
		return nil, nil, &judge.UnavailableError{Reason: reason, Err: errors.New("/srv/secret is gone"), After: 2500e6}
	}
	found := false
	for _, m := range slices.Backward(g.models) { // the last version is the one in use
		if m.name == name {
			if found = true; version == "" || m.version == version {
				return m, func() {}, nil
			}
		}
	}
	if found {
		return nil, nil, &judge.NotFoundError{Name: name, Version: version}
	}
	return nil, nil, &judge.NotFoundError{Name: name}
}

func (g *guards) List() []judge.Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []judge.Status
	for _, m := range g.models {
		out = append(out, judge.Status{Name: m.name, Version: m.version, Ready: true})
	}
	for name, reason := range g.unready {
		out = append(out, judge.Status{Name: name, Version: "1", Reason: reason})
	}
	return out
}

func (g *guards) Load(_ context.Context, name string) error   { return g.change("load " + name) }
func (g *guards) Unload(_ context.Context, name string) error { return g.change("unload " + name) }

func (g *guards) change(what string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.loads = append(g.loads, what)
	if strings.HasSuffix(what, "nobody") {
		return &judge.NotFoundError{Name: "nobody"}
	}
	return g.broken
}

// both are the digits, in two versions, and the loans.
func both() *guards {
	return &guards{models: []*guard{{name: "digits", version: "1", d: digits()}, {name: "digits", version: "2", d: digits()}, {name: "lo/ans", version: "1", d: loans()}}}
}

// serveREST serves models over HTTP.
func serveREST(t testing.TB, g judge.Models, o oip.Options) string {
	t.Helper()
	s := httptest.NewServer(oip.Handler(g, o))
	t.Cleanup(s.Close)
	return s.URL
}

// serveGRPC serves models over gRPC, and gives its address.
func serveGRPC(t testing.TB, g judge.Models, o oip.Options) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(oip.ServerOptions(o)...)
	if err := oip.Register(s, g, o); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// dial is a connection to it.
func dial(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("dns:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
