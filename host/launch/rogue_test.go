package launch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// The test binary is also the plugins that the tests start, well-behaved and
// not, and the host that a test kills.
func TestMain(m *testing.M) {
	pretend()
	ServeIfPlugin(registry.NewTable("classifier",
		registry.Entry[Shipped]{Name: "fake", Default: Shipped{New: func() sdk.Classifier { return fake() }}},
		registry.Entry[Shipped]{Name: "nchw", Default: Shipped{New: func() sdk.Classifier { return nchw() }}},
		registry.Entry[Shipped]{Name: "rogue", Default: Shipped{New: func() sdk.Classifier { return &rogue{Fake: fake()} }}},
		registry.Entry[Shipped]{Name: "lossy", Default: Shipped{New: func() sdk.Classifier { return lossy{fake()} }}},
		registry.Entry[Shipped]{Name: "colours", Default: Shipped{New: func() sdk.Classifier { return newColours(0) }}},
		registry.Entry[Shipped]{Name: "colours-declared", Default: Shipped{New: func() sdk.Classifier { return newColours(sdk.NCHW) }}},
		registry.Entry[Shipped]{Name: "student", Default: Shipped{New: func() sdk.Classifier { return &student{} }}},
		registry.Entry[Shipped]{Name: "hermit", Default: Shipped{New: newHermit, Needs: &Needs{}}},
		registry.Entry[Shipped]{Name: "tattler", Default: Shipped{New: func() sdk.Classifier { return &tattler{Fake: fake()} }}},
		registry.Entry[Shipped]{Name: "pupil", Default: Shipped{New: func() sdk.Classifier { return &pupil{} }}},
	))
	switch os.Getenv(actEnv) {
	case "noise":
		fmt.Println("Loading weights | epoch 1 | loss 0.3")
		sdk.Serve(fake())
	case "crash":
		fmt.Fprintln(os.Stderr, "cannot find libfoo.so")
		os.Exit(7)
	case "forger":
		fmt.Fprint(os.Stderr, "\x1b[2J\rvaeguard: all is well\r\u202e\n\x9b31m\n")
		os.Exit(7)
	case "stranger":
		fmt.Fprintln(os.Stderr, "This binary is a plugin. These are not meant to be executed directly.")
		os.Exit(1)
	case "version":
		fmt.Println("1|2|unix|/nowhere|grpc|")
		time.Sleep(time.Minute)
	case "netrpc":
		fmt.Println("1|1|tcp|127.0.0.1:1|netrpc|")
		time.Sleep(time.Minute)
	case "garbage":
		_, _ = os.Stdout.Write(bytes.Repeat([]byte{0, 0xff, '|', 0x80}, 1000))
		fmt.Println()
		time.Sleep(time.Minute)
	case "wrongpath":
		fmt.Println("1|1|unix|" + os.Getenv(socketDirEnv) + "/no/such/socket|grpc|")
		time.Sleep(time.Minute)
	case "link": // its socket is another's
		link := os.Getenv(socketDirEnv) + "/s"
		if err := os.Symlink(os.Getenv("ELSEWHERE"), link); err != nil {
			panic(err)
		}
		fmt.Println("1|1|unix|" + link + os.Getenv("BELOW") + "|grpc|")
		time.Sleep(time.Minute)
	case "elsewhere":
		fmt.Println("1|1|" + os.ExpandEnv(os.Getenv("ELSEWHERE")) + "|grpc|")
		time.Sleep(time.Minute)
	case "dwindle": // as a killed process on a busy machine: its pipes first
		_, _ = os.Stdout.Close(), os.Stderr.Close()
		time.Sleep(2 * deathNotice)
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill()
		}
	case "say":
		fmt.Println("said")
	case "silent":
		time.Sleep(time.Minute)
	case "mark":
		if err := os.WriteFile(os.Getenv("MARK"), nil, 0o600); err != nil {
			panic(err)
		}
		sdk.Serve(fake())
	case "raw":
		serveRaw()
	case "record":
		serveRecorded()
	case "hold":
		hoard = append(hoard, bytes.Repeat([]byte{1}, 80*mib))
		time.Sleep(time.Minute)
	case "deaf": // neither the SDK nor its watch of stdin
		time.Sleep(time.Hour)
	case "scatter":
		actScatter()
	case "scatterhost":
		actScatterHost()
	case "host":
		actHost()
	default:
		os.Exit(m.Run())
	}
	os.Exit(0)
}

const actEnv = "VAEGUARD_TEST_ACT"

// act is this test binary in another role.
func act(name string, env ...string) Command {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return Command{Name: name, Path: exe, Env: append(env, actEnv+"="+name)}
}

func fake() *sdktest.Fake { return &sdktest.Fake{Shape: tensor.Shape{4, 3, 2}, Classes: 5, Seed: 1} }

// nchw has the same numbers of features under another layout.
func nchw() *sdktest.Fake {
	f := &sdktest.Fake{Shape: tensor.Shape{2, 4, 3}, Classes: 5, Seed: 2, Layout: sdk.NCHW, MaxBatch: 3}
	f.Lo, f.Hi = make([]float32, 24), make([]float32, 24)
	for i := range f.Hi {
		f.Hi[i] = float32(i + 1)
	}
	return f
}

// lossy answers logits and calls them probabilities.
type lossy struct{ *sdktest.Fake }

func (l lossy) Info(ctx context.Context) (sdk.Info, error) {
	i, err := l.Fake.Info(ctx)
	i.Output = sdk.Probabilities
	return i, err
}

// rogue misbehaves at the At-th call (from 1), counted over all its lives in
// the file Count; Every repeats that.
type rogue struct {
	*sdktest.Fake
	Act   string `json:"act"`
	At    int    `json:"at"`
	Every bool   `json:"every"`
	Count string `json:"count"`
	Rows  int    `json:"rows"` // most rows that fit its memory
}

func (r *rogue) Schema() []byte {
	return []byte(`{"type": "object", "properties": {"act": {"type": "string"}, "at": {"type": "integer"}, "every": {"type": "boolean"}, "count": {"type": "string"}, "rows": {"type": "integer"}}, "additionalProperties": false}`)
}

func (r *rogue) Configure(_ context.Context, c sdk.Config) error {
	if r.Act = ""; len(c.JSON) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.JSON, r); err != nil || r.Act != "fade" {
		return err
	}
	return r.misbehave()
}

// What a rogue has taken and does not give back.
var (
	hoard   [][]byte
	hoarded []*os.File
)

func (r *rogue) misbehave() error {
	if r.Act == "" {
		return nil
	}
	n := 1
	if old, err := os.ReadFile(r.Count); err == nil {
		n, _ = strconv.Atoi(string(old))
		n++
	}
	if err := os.WriteFile(r.Count, []byte(strconv.Itoa(n)), 0o600); err != nil {
		return err
	}
	if n != r.At && !(r.Every && n > r.At) {
		return nil
	}
	switch r.Act {
	case "exit":
		fmt.Fprintln(os.Stderr, "out of luck at call", n)
		os.Exit(7)
	case "fade": // as a killed process on a busy machine: its connection first
		hangUp()
		time.Sleep(2 * exitNotice)
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		return errors.Join(err, errors.New("it lives"))
	case "hang":
		select {}
	case "stop":
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Signal(stopSignal)
		}
		if err == nil {
			time.Sleep(time.Minute) // the signal may reach another thread, and later
		}
		return err
	case "slow":
		time.Sleep(100 * time.Millisecond)
	case "stdout":
		fmt.Println("1|1|unix|/nowhere|grpc|")
		fmt.Println(strings.Repeat("noise ", 10_000))
	case "panic":
		panic("at the disco")
	case "forkhang", "forkexit":
		child := exec.Command("sleep", "60")
		if err := child.Start(); err != nil {
			return err
		}
		if err := os.WriteFile(r.Count+".child", []byte(strconv.Itoa(child.Process.Pid)), 0o600); err != nil {
			return err
		}
		if r.Act == "forkexit" {
			os.Exit(7)
		}
		select {}
	case "nan":
		return sdk.Errorf(sdk.Internal, "NaN")
	case "hog":
		for range 2048 {
			hoard = append(hoard, bytes.Repeat([]byte{1}, mib))
		}
	case "hogs": // each in its limit
		for range 5 {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), actEnv+"=hold")
			if err := cmd.Start(); err != nil {
				return err
			}
		}
		time.Sleep(time.Minute)
	case "inherited": // the limit of memory, by whatever it starts
		text, err := os.ReadFile("/proc/" + strconv.Itoa(os.Getppid()) + "/limits")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); strings.HasPrefix(line, "Max data size") && f[3] == strconv.Itoa(400*mib) && f[4] == f[3] {
				return nil
			}
		}
		return sdk.Errorf(sdk.Internal, "its parent is not bounded")
	case "cookie":
		if os.Getenv(wire.Handshake().MagicCookieKey) != "" {
			return sdk.Errorf(sdk.Internal, "what it starts would believe that a host did")
		}
	case "named":
		if os.Getenv("NAMED") != "jos\xe9" || !strings.Contains(os.Args[0], "jos\xe9") {
			return sdk.Errorf(sdk.Internal, "it is %q, with %q", os.Args[0], os.Getenv("NAMED"))
		}
	case "files":
		for range 2048 {
			if f, err := os.Open(os.DevNull); err != nil {
				return sdk.Errorf(sdk.Internal, "%w", err)
			} else {
				hoarded = append(hoarded, f)
			}
		}
	case "privileges":
		status, err := os.ReadFile("/proc/thread-self/status")
		if err == nil && !bytes.Contains(status, []byte("NoNewPrivs:\t1\n")) {
			err = sdk.Errorf(sdk.Internal, "privileges can be gained")
		}
		return err
	case "fork", "daemon":
		child := exec.Command("sleep", "60")
		if r.Act == "daemon" { // out of the process group
			child = exec.Command("setsid", "sleep", "60")
		}
		if err := child.Start(); err != nil {
			return err
		}
		return os.WriteFile(r.Count, []byte(strconv.Itoa(child.Process.Pid)), 0o600)
	}
	return nil
}

func (r *rogue) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	if err := r.misbehave(); err != nil {
		return nil, err
	}
	if r.Rows > 0 && x.N() > r.Rows {
		return nil, sdk.Errorf(sdk.ResourceExhausted, "%d rows are too many", x.N())
	}
	return r.Fake.Predict(ctx, x)
}

func (r *rogue) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	if err := r.misbehave(); err != nil {
		return nil, nil, err
	}
	outs, pull, err := r.Fake.Forward(ctx, x, outputs...)
	return outs, func(ctx context.Context, c map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		if err := r.misbehave(); err != nil {
			return nil, err
		}
		return pull(ctx, c)
	}, err
}

// pupil becomes the Fake whose seed is the sum of its labels, and writes that
// down.
type pupil struct {
	fake *sdktest.Fake
	file string
}

func (p *pupil) Schema() []byte { return []byte(`{"properties": {"weights": {}, "once": {}}}`) }

func (p *pupil) Configure(_ context.Context, c sdk.Config) error {
	var conf struct{ Weights, Once string }
	if err := json.Unmarshal(append([]byte(nil), c.JSON...), &conf); err != nil && len(c.JSON) > 0 {
		return err
	}
	p.file, p.fake = conf.Once, nil
	if conf.Weights == "" {
		return nil
	}
	text, err := os.ReadFile(c.Path(conf.Weights))
	if err != nil {
		return err
	}
	seed, err := strconv.Atoi(string(text))
	p.fake = pupilAs(seed)
	return err
}

func pupilAs(seed int) *sdktest.Fake {
	return &sdktest.Fake{Shape: tensor.Shape{3}, Classes: 2, Seed: uint64(seed)}
}

func (p *pupil) Info(ctx context.Context) (sdk.Info, error) {
	if p.fake != nil {
		return p.fake.Info(ctx)
	}
	return sdk.Info{Name: "fake", Version: "1"}, nil
}

func (p *pupil) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	return p.fake.Predict(ctx, x)
}

func (p *pupil) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	return p.fake.Gradient(ctx, x, dy)
}

func (p *pupil) Fit(_ context.Context, d sdk.TrainingData, o sdk.FitOptions) (sdk.FitDone, error) {
	o.Progress(sdk.FitProgress{Epoch: 1, Step: 1, Steps: 1})
	if p.file != "" { // dies in its first training
		if _, err := os.Stat(p.file); errors.Is(err, os.ErrNotExist) {
			if err := os.WriteFile(p.file, nil, 0o600); err != nil {
				return sdk.FitDone{}, err
			}
			os.Exit(3)
		}
	}
	seed := 0
	for _, l := range d.Labels {
		seed += l
	}
	p.fake = pupilAs(seed)
	if err := os.WriteFile(filepath.Join(o.OutputDir, "seed"), []byte(strconv.Itoa(seed)), 0o600); err != nil {
		return sdk.FitDone{}, err
	}
	i, err := p.fake.Info(context.Background())
	return sdk.FitDone{ConfigJSON: []byte(`{"weights": "seed"}`), Files: []sdk.FitFile{{Name: "seed"}}, Digest: i.Digest}, err
}

// actHost starts a plugin, says so and waits to be killed.
func actHost() {
	self, err := Self("rogue")
	if err != nil {
		panic(err)
	}
	var config sdk.Config
	if text := os.Getenv("ROGUE"); text != "" {
		config.JSON = []byte(text)
	}
	c, err := Start(context.Background(), Options{Command: self, Checks: ChecksOff, Config: config})
	if err != nil {
		panic(err)
	}
	if config.JSON != nil {
		if _, err := c.Predict(context.Background(), random(1, 1, 4, 3, 2)); err != nil {
			panic(err)
		}
	}
	fmt.Println(c.replicas[0].p.run.ID(), c.sockets.path)
	time.Sleep(time.Minute)
}
