package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/builtin/classifiers/mlp"
	"github.com/vaeguard/vaeguard/builtin/classifiers/oip/oiptest"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/sdk"
)

// servedMLP is a server with a model of the digits; calls counts the requests, tokens the
// secrets that came with them.
func servedMLP(t *testing.T) (server *httptest.Server, calls *atomic.Int64, said func() string) {
	t.Helper()
	c := mlp.New()
	conf := sdk.Config{JSON: []byte(`{"hidden": [8], "range": [0, 1], "classes": 10, "input_shape": [64], "weights": "weights.safetensors"}`), BaseDir: t.TempDir()}
	trainMLP(t, conf.BaseDir)
	if err := c.Configure(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	model := &oiptest.Model{Classifier: c}
	calls = new(atomic.Int64)
	var last atomic.Value
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		last.Store(r.URL.Path + " " + r.Header.Get("Authorization"))
		model.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server, calls, func() string { text, _ := last.Load().(string); return text }
}

// trainServed trains a detector around a model on a server, in a project of its own.
func trainServed(t *testing.T, classifier string) (guard, rows string) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "project")
	text := strings.NewReplacer("CLASSIFIER", classifier, " RESHAPE", "", " LAST", "").Replace(packSpec)
	place(t, filepath.Join(home, "spec.yaml"), []byte(text), 0o644)
	guard, rows = filepath.Join(home, "guard"), filepath.Join(home, "rows.npz")
	writeRows(t, rows, false)
	vaeguard(t, 0, "train", filepath.Join(home, "spec.yaml"), "--out", guard, "--quiet")
	return guard, rows
}

// TestDetectorNamesServer: a detector sends nobody rows, nor anything of its user's
// environment, by its author's word alone.
func TestDetectorNamesServer(t *testing.T) {
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	t.Setenv("MODEL_TOKEN", "of-the-model")
	t.Setenv("CLOUD_KEY", "of-the-user")
	model, calls, said := servedMLP(t)
	evil, sent, told := servedMLP(t)
	guard, rows := trainServed(t, `{plugin: oip, config: {url: "`+model.URL+`", model: model, token: "${MODEL_TOKEN}"}}`)
	list := filepath.Join(state, "vaeguard", "allowed.lock")
	if text, err := os.ReadFile(list); err != nil || strings.Count(string(text), "\n") != 1 || strings.Contains(string(text), "of-the-model") {
		t.Fatalf("list %q, %v", text, err)
	}

	// Its own user is not asked, whatever the detector is called and wherever it lies.
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.CopyFS(moved, os.DirFS(guard)); err != nil {
		t.Fatal(err)
	}
	before := calls.Load()
	for _, d := range []string{guard, moved} {
		vaeguard(t, 0, "detect", d, "--data", rows)
	}
	if calls.Load() == before || !strings.HasSuffix(said(), "Bearer of-the-model") {
		t.Errorf("%d calls, the last %q", calls.Load()-before, said())
	}
	second := filepath.Join(t.TempDir(), "second")
	vaeguard(t, 0, "calibrate", guard, "--data", rows, "--value", "1", "--out", second)
	vaeguard(t, 0, "detect", second, "--data", rows)

	// Nobody else's copy of it says where they go.
	out := filepath.Join(t.TempDir(), "out")
	for name, c := range map[string]struct {
		section string
		want    []string
	}{
		"another server":         {`plugin: oip, config: {url: "` + evil.URL + `", model: model}`, []string{`config.url "` + evil.URL + `"`}},
		"another server's token": {`plugin: oip, config: {url: "` + evil.URL + `", model: model, token: "${CLOUD_KEY}"}`, []string{evil.URL, "classifier.config.token is given the variable CLOUD_KEY"}},
		"a variable in the URL":  {`plugin: oip, config: {url: "` + evil.URL + `/${CLOUD_KEY}", model: model}`, []string{evil.URL + "/${CLOUD_KEY}", "config.url is given the variable CLOUD_KEY"}},
		"the token elsewhere":    {`plugin: oip, config: {url: "` + model.URL + `", model: "${MODEL_TOKEN}"}`, []string{model.URL, "config.model is given the variable MODEL_TOKEN"}},
		"with a default":         {`plugin: oip, config: {url: "` + evil.URL + `", model: "m${CLOUD_KEY:}"}`, []string{"CLOUD_KEY"}},
		"a key file":             {`plugin: oip, config: {url: "` + strings.Replace(evil.URL, "http", "https", 1) + `", model: model, cert_file: /etc/hostname, key_file: /etc/hostname}`, []string{`classifier.config.key_file reads "/etc/hostname"`}},
		"its own authority":      {`plugin: oip, config: {url: "` + strings.Replace(model.URL, "http", "https", 1) + `", model: model, server_name: evil, ca_file: ca.pem}`, []string{`config.server_name "evil"`, `config.ca_file "ca.pem"`}},
		"no network":             {`plugin: mlp, config: {hidden: [8], range: [0, 1], classes: 10, input_shape: [64], weights: "${CLOUD_KEY}.safetensors"}`, []string{"classifier.config.weights is given the variable CLOUD_KEY"}},
		"in a command":           {`command: [sh, -c, "exit ${CLOUD_KEY}"]`, []string{`would start what you have not allowed: "sh"`, "classifier.command[2] is given the variable CLOUD_KEY"}},
	} {
		forged := forge(t, guard, c.section, "")
		for _, args := range [][]string{{"detect", forged, "--data", rows}, {"evaluate", forged, "--data", rows, "--labels", rows, "--out", out}, {"calibrate", forged, "--data", rows}} {
			_, errs := vaeguard(t, 4, args...)
			for _, want := range append(c.want, "you have not allowed", "--allow-command sha256:") {
				if !strings.Contains(errs, want) {
					t.Errorf("%s: %s: no %q in %s", name, args[0], want, errs)
				}
			}
			if strings.Contains(errs, "of-the-user") {
				t.Errorf("%s: the secret is shown: %s", name, errs)
			}
		}
		if d, err := host.Open(forged, builtin.Components()); err == nil {
			_ = d.Close()
			t.Errorf("%s: host.Open opened it", name)
		}
	}
	packed := filepath.Join(t.TempDir(), "forged.vg")
	text, _ := vaeguard(t, 0, "pack", forge(t, guard, `plugin: oip, config: {url: "`+evil.URL+`", model: "m${CLOUD_KEY:}"}`, ""), "--out", packed)
	for _, want := range []string{"asks        that plugin oip sends rows", evil.URL, "CLOUD_KEY", "--allow-command sha256:"} {
		if !strings.Contains(text, want) {
			t.Errorf("packed, it does not say %q: %s", want, text)
		}
	}
	vaeguard(t, 4, "detect", packed, "--data", rows)
	// Nor what a server would tell its clients: names of classes.
	saved, err := artifact.Load(guard)
	if err != nil {
		t.Fatal(err)
	}
	saved.Spec = []byte(strings.Replace(string(saved.Spec), "\ndata:\n", "\ndata:\n  classes: [\"${CLOUD_KEY}\", b, c, d, e, f, g, h, i, j]\n", 1))
	teller := filepath.Join(t.TempDir(), "teller")
	if err := artifact.Save(teller, saved, false); err != nil {
		t.Fatal(err)
	}
	if _, errs := vaeguard(t, 4, "detect", teller, "--data", rows); !strings.Contains(errs, "that data.classes[0] is given the variable CLOUD_KEY") {
		t.Errorf("names of classes: %s", errs)
	}
	if sent.Load() != 0 {
		t.Fatalf("the other server was called %d times", sent.Load())
	}

	// The caller's own word counts: the digest, and no other's; or the server.
	forged := forge(t, guard, `plugin: oip, config: {url: "`+evil.URL+`", model: model, token: "${CLOUD_KEY}"}`, "")
	_, errs := vaeguard(t, 4, "detect", forged, "--data", rows)
	_, digest, _ := strings.Cut(errs, "--allow-command ")
	digest, _, _ = strings.Cut(digest, ",")
	vaeguard(t, 4, "detect", forged, "--data", rows, "--allow-command", "sha256:"+strings.Repeat("0", 64))
	vaeguard(t, 0, "detect", forged, "--data", rows, "--allow-command", digest)
	if sent.Load() == 0 || !strings.HasSuffix(told(), "Bearer of-the-user") {
		t.Errorf("allowed, it was told %q", told())
	}
	forged = forge(t, guard, `plugin: oip, config: {url: "`+evil.URL+`", model: model}`, "")
	asked := sent.Load()
	vaeguard(t, 0, "detect", forged, "--data", rows, "--classifier", "config.url="+model.URL)
	vaeguard(t, 4, "detect", forged, "--data", rows, "--classifier", "config.model=other")
	if sent.Load() != asked {
		t.Error("the detector's server was asked in the place of the caller's")
	}
}

// TestDetectorNamesFiles: the files that a detector's config names are its own, or those of
// the folder of its spec, or its user allows them: for the plugin and for a pack.
func TestDetectorNamesFiles(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	outside := t.TempDir()
	trainMLP(t, outside)
	weights := filepath.Join(outside, "weights.safetensors")
	section := func(file string) string {
		return `plugin: mlp, config: {hidden: [8], range: [0, 1], classes: 10, input_shape: [64], weights: "` + filepath.ToSlash(file) + `"}`
	}
	guard, rows := trainServed(t, "{"+section(weights)+"}") // an absolute path of its own user's
	vaeguard(t, 0, "detect", guard, "--data", rows)
	vaeguard(t, 0, "pack", guard, "--out", filepath.Join(t.TempDir(), "own.vg"))

	t.Setenv("XDG_STATE_HOME", t.TempDir()) // another user
	link := filepath.Join(t.TempDir(), "links")
	if err := os.MkdirAll(link, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ file, base string }{
		"an absolute path":        {weights, ""},
		"a way up":                {"../../../../../../../../../.." + weights, ""},
		"a base that is the root": {strings.TrimPrefix(weights, "/"), strings.Repeat("../", 30)},
		"a base elsewhere":        {"weights.safetensors", outside},
		"a link":                  {"link", ""},
		"hidden":                  {".ssh/weights.safetensors", ".."},
	} {
		forged := forge(t, guard, section(c.file), c.base)
		if c.file == "link" {
			if err := os.Symlink(weights, filepath.Join(forged, "link")); err != nil {
				t.Fatal(err)
			}
		}
		if name == "hidden" {
			place(t, filepath.Join(filepath.Dir(forged), ".ssh", "weights.safetensors"), nil, 0o600)
		}
		out := filepath.Join(t.TempDir(), "forged.vg")
		for _, args := range [][]string{{"detect", forged, "--data", rows}, {"pack", forged, "--out", out}} {
			if _, errs := vaeguard(t, 4, args...); !strings.Contains(errs, "you have not allowed") || !strings.Contains(errs, "weights.safetensors") || !strings.Contains(errs, "--allow-command sha256:") {
				t.Errorf("%s: %s: %s", name, args[0], errs)
			}
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: it was packed", name)
		}
	}
	// Programs are files too.
	for _, section := range []string{`path: "` + weights + `"`, `command: [sh, "` + weights + `"]`} {
		if _, errs := vaeguard(t, 4, "pack", forge(t, guard, section, ""), "--out", filepath.Join(t.TempDir(), "forged.vg")); !strings.Contains(errs, "not its own") {
			t.Errorf("%s: %s", section, errs)
		}
	}

	// A project that was copied with its model opens as it did, and so does what the caller names.
	project := filepath.Join(t.TempDir(), "project")
	place(t, filepath.Join(project, "nets", "w.safetensors"), mustRead(t, weights), 0o644)
	forged := forge(t, guard, section("nets/w.safetensors"), "../../..")
	inner := filepath.Join(project, "runs", "first", "detector")
	if err := os.CopyFS(inner, os.DirFS(forged)); err != nil {
		t.Fatal(err)
	}
	vaeguard(t, 0, "detect", inner, "--data", rows)
	vaeguard(t, 0, "detect", guard, "--data", rows, "--classifier", "config.weights="+weights)
	vaeguard(t, 0, "detect", forge(t, guard, section("weights.safetensors"), ""), "--base", outside, "--data", rows)
	_, errs := vaeguard(t, 4, "pack", guard, "--out", filepath.Join(t.TempDir(), "refused.vg"))
	_, digest, _ := strings.Cut(errs, "--allow-command ")
	out := filepath.Join(t.TempDir(), "allowed.vg")
	vaeguard(t, 0, "pack", guard, "--allow-command", strings.TrimSpace(digest), "--out", out)
	if _, err := pack.Extract(out, t.TempDir()); err != nil {
		t.Error(err)
	}
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDetectorSetsLimits: a detector does not lift what holds its plugin; its user may, and has
// by training with it.
func TestDetectorSetsLimits(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dir := t.TempDir()
	trainMLP(t, dir)
	weights := filepath.Join(dir, "weights.safetensors")
	section := `plugin: mlp, timeout: 1e9, restarts: 2000000000, config: {hidden: [8], range: [0, 1], classes: 10, input_shape: [64], weights: "` + filepath.ToSlash(weights) + `"}`
	guard, rows := trainServed(t, "{"+section+"}")
	if _, errs := vaeguard(t, 0, "detect", guard, "--data", rows); strings.Contains(errs, "its own limits") {
		t.Errorf("its own user: %s", errs)
	}
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	given := []string{"--classifier", "config.weights=" + weights}
	_, errs := vaeguard(t, 0, append([]string{"detect", guard, "--data", rows}, given...)...)
	for _, want := range []string{`classifier.timeout="1e+09" taken=3600`, "--classifier timeout=1e+09", "classifier.restarts=2000000000 taken=10"} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q in %s", want, errs)
		}
	}
	given = append(given, "--classifier", "timeout=1e9", "--classifier", "restarts=2000000000")
	if _, errs := vaeguard(t, 0, append([]string{"detect", guard, "--data", rows}, given...)...); strings.Contains(errs, "its own limits") {
		t.Errorf("the caller's limits: %s", errs)
	}
	writeONNX(t, filepath.Join(dir, "net.onnx"), "w.bin")
	bomb := forge(t, guard, `plugin: onnx, config: {model: net.onnx, input_range: [0, 1], memory: 999999TiB, work: 1e18}`, "")
	if _, errs := vaeguard(t, 1, "detect", bomb, "--base", dir, "--data", rows); !strings.Contains(errs, "classifier.config.memory") || !strings.Contains(errs, "classifier.config.work") {
		t.Errorf("of the plugin's own limits: %s", errs)
	}
}
