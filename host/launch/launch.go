// Package launch runs classifier plugins: it finds them, verifies them against
// their pin, starts them in a session of their own below a supervisor, speaks to them over
// go-plugin, restarts them when they crash and ends them with the host. What
// it gives is an ordinary sdk.Classifier.
package launch

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/host/preprocess"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/check"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Checks says what becomes of a finding of the checks at load.
type Checks int

// The modes, classifier.checks in YAML.
const (
	ChecksStrict Checks = iota // a failed check is an error
	ChecksWarn                 // it is logged
	ChecksOff                  // nothing is checked
)

// ParseChecks reads strict, warn or off.
func ParseChecks(s string) (Checks, error) {
	i := slices.Index([]string{"strict", "warn", "off"}, s)
	if i < 0 {
		return 0, fmt.Errorf("checks: %q, want strict, warn or off", s)
	}
	return Checks(i), nil
}

// Options say how to run a plugin. Command is required.
type Options struct {
	Command Command
	Config  sdk.Config // InputShape in NHWC for images

	// Env lets more of the host's environment through than paths, locale and
	// libraries: "NAME", "PREFIX_*", or sets it: "NAME=value".
	Env     []string
	Threads int          // of the plugin: GOMAXPROCS, OMP_NUM_THREADS and their like; 0: as the host's
	Logger  hclog.Logger // nil: none

	// Limits of each process; Linux alone knows them. They are an error elsewhere.
	Limits Limits
	// Confine says whether each process is kept from network and files that it does not need.
	Confine Confine

	Replicas     int           // processes; 0: 1
	StartTimeout time.Duration // until the handshake, and again for Configure; 0: 3 minutes
	CallTimeout  time.Duration // of one call of the plugin; 0: 2 minutes
	FitTimeout   time.Duration // of a whole Fit; 0: a day
	FitSilence   time.Duration // between two events of a Fit; 0: 30 minutes
	DrainTimeout time.Duration // for calls under way when Close is called; 0: 5 seconds

	// An idle plugin's health is asked for every HealthEvery (0: 30 seconds,
	// negative: never), and each answer awaited for HealthTimeout (0: 10
	// seconds). One that does not answer twice in a row is killed; the next
	// call starts it again.
	HealthEvery, HealthTimeout time.Duration

	// RestartBudget is how often a replica is restarted without one call having
	// succeeded in between, and how often one call is tried again; 0: 5,
	// negative: never. Then calls fail, at once; one of them now and then, as Backoff
	// says, has the plugin started again, so that it comes back by itself.
	RestartBudget int
	Backoff       time.Duration // before the second restart in a row, doubling to 5 seconds; 0: 100 ms

	// Preprocess is the map from the host's rows to the plugin's; nil: none.
	// All that Classifier takes and gives, its Info too, is before it.
	Preprocess *preprocess.Section

	// CheckSchema is called once with the schema of the config that the plugin
	// declares, before it is given its config; an error ends Start as it is.
	// nil: nothing is asked.
	CheckSchema func(schema []byte) error

	Checks Checks
	// CheckRows are rows of the data to check with, NHWC; nil: random ones.
	CheckRows *tensor.Tensor
}

func (o *Options) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&o.StartTimeout, 3*time.Minute)
	set(&o.CallTimeout, 2*time.Minute)
	set(&o.FitTimeout, 24*time.Hour)
	set(&o.FitSilence, 30*time.Minute)
	set(&o.DrainTimeout, 5*time.Second)
	set(&o.Backoff, 100*time.Millisecond)
	set(&o.HealthTimeout, 10*time.Second)
	if o.HealthEvery == 0 {
		o.HealthEvery = 30 * time.Second
	}
	o.Replicas = max(1, o.Replicas)
	if o.RestartBudget == 0 {
		o.RestartBudget = 5
	}
	o.RestartBudget = max(0, o.RestartBudget)
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
}

// Classifier is a running plugin. Images are NHWC on this side, whatever the
// plugin's layout, and rows are those before Options.Preprocess. It is safe for concurrent use. What the plugin does not
// offer, by Info, answers with sdk.Unimplemented.
type Classifier struct {
	o        Options
	cmd      *verified
	lent     sdk.Classifier // a model of this program; nil: cmd is started
	sockets  *socketDir     // nil: of one that is lent
	replicas []*replica
	next     atomic.Uint64 // round robin
	restarts atomic.Int64
	rows     atomic.Int64 // most rows per call, smaller after the plugin ran out of memory; 0: no limit yet
	asked    atomic.Int64 // rows, gradients not among them

	hide hider // the config's secrets

	mu     sync.RWMutex
	config sdk.Config // what a restart configures with: changed by Fit
	fitted bool       // BaseDir is the folder of a Fit
	writes []string   // folders that a confined process may write to, while it trains
	wire   face       // in the plugin's layout and units
	info   sdk.Info   // in NHWC, before preprocessing

	identity identity // what a restart must come back as

	closing sync.RWMutex // calls share it, Close has it alone
	closed  atomic.Bool
	life    context.Context // ends when calls must give up
	endLife context.CancelFunc
}

var (
	_ sdk.Differentiable = (*Classifier)(nil)
	_ sdk.Forwarder      = (*Classifier)(nil)
	_ sdk.Trainable      = (*Classifier)(nil)
)

// Start verifies the command, starts it, configures it and, if it is ready to
// predict, checks it. Errors are of type *Error, except ctx's own. The caller
// must Close the result.
func Start(ctx context.Context, o Options) (*Classifier, error) {
	o.defaults()
	if err := o.Limits.check(); err != nil {
		return nil, &Error{Op: "start", Plugin: o.Command.Name, Path: o.Command.Path, Err: err}
	}
	v, err := o.Command.verify(ctx, "")
	if err != nil {
		return nil, err
	}
	// The plugin may have another working folder.
	if o.Config.BaseDir, err = filepath.Abs(o.Config.BaseDir); err != nil {
		v.close()
		return nil, v.fault("start", nil, err)
	}
	c := &Classifier{o: o, cmd: v, config: o.Config}
	c.life, c.endLife = context.WithCancel(context.Background())
	v.close() // each process opens and verifies it again
	if c.sockets, err = newSocketDir(); err != nil {
		return nil, v.fault("start", nil, err)
	}
	if held := c.Confinement(); held.Asked {
		if len(held.Missing) > 0 {
			o.Logger.Info("the plugin is "+held.String(), "plugin", v.Name)
		} else {
			o.Logger.Debug("the plugin is "+held.String(), "plugin", v.Name)
		}
	}
	for range o.Replicas {
		c.replicas = append(c.replicas, &replica{c: c})
	}
	if err := c.begin(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if o.HealthEvery > 0 {
		go c.watch()
	}
	return c, nil
}

func (c *Classifier) begin(ctx context.Context) error {
	for _, r := range c.replicas {
		if _, err := r.process(ctx); err != nil {
			return err
		}
	}
	if !c.face().Ready {
		return nil
	}
	return c.verify(ctx, c.o.CheckRows)
}

// verify runs the checks at load, as the options want them.
func (c *Classifier) verify(ctx context.Context, rows *tensor.Tensor) error {
	if c.o.Checks == ChecksOff {
		return nil
	}
	findings, err := c.Check(ctx, rows)
	if err != nil {
		return err
	}
	var failed []string
	for _, f := range findings {
		switch f.Severity {
		case check.Fail:
			failed = append(failed, f.String())
			if c.o.Checks == ChecksWarn {
				c.o.Logger.Warn("classifier check failed", "plugin", c.cmd.Name, "check", f.Name, "message", f.Message)
			}
		case check.Warn:
			c.o.Logger.Warn("classifier check warning", "plugin", c.cmd.Name, "check", f.Name, "message", f.Message)
		}
	}
	if len(failed) > 0 && c.o.Checks == ChecksStrict {
		return c.fault("check", nil, &CheckError{Findings: findings})
	}
	return nil
}

// CheckError is the cause of an Error with Op "check".
type CheckError struct {
	Findings []check.Finding // all, also those that passed
}

// Error lists the failed checks.
func (e *CheckError) Error() string {
	text := ""
	for _, f := range e.Findings {
		if f.Severity == check.Fail {
			if text != "" {
				text += "; "
			}
			text += f.String()
		}
	}
	return text
}

// Check runs the conformance checks on rows of the data (NHWC), or random ones
// if nil, whatever Options.Checks says. The error is that of a call; what is
// wrong with the answers is in the findings.
func (c *Classifier) Check(ctx context.Context, rows *tensor.Tensor) ([]check.Finding, error) {
	return check.Classifier(ctx, c, check.Options{Rows: rows, Seed: c.o.Config.Seed})
}

// CheckThoroughly is Check with what takes longer: rows in another order, calls at the
// same time, and tapes.
func (c *Classifier) CheckThoroughly(ctx context.Context, rows *tensor.Tensor) ([]check.Finding, error) {
	return check.Classifier(ctx, c, check.Options{Rows: rows, Seed: c.o.Config.Seed, Thorough: true})
}

// Info describes the plugin; shapes and ranges are NHWC for images, and those of
// rows before Options.Preprocess, of which the digest is too.
func (c *Classifier) Info(context.Context) (sdk.Info, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.info, nil
}

func (c *Classifier) face() face {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.wire
}

// Digest is what a pin is compared with, and what runs.
func (c *Classifier) Digest() Digest { return c.cmd.digest() }

// Restarts is how often a process was started in the place of one that was lost,
// of all replicas together.
func (c *Classifier) Restarts() int { return int(c.restarts.Load()) }

// Ping asks every replica's health service, within ctx or Options.CallTimeout.
// It starts nothing.
func (c *Classifier) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.CallTimeout)
	defer cancel()
	for _, r := range c.replicas {
		p := r.current()
		if p == nil {
			return c.fault("ping", nil, errors.New("it is not running"))
		}
		if err := p.ping(ctx); err != nil {
			return c.fault("ping", p, err)
		}
	}
	return nil
}

// Close waits for the calls under way, for at most Options.DrainTimeout, and
// ends the plugin: by request, and by force if it does not comply. It always
// returns, and what the plugin has started is gone then (Linux; elsewhere its process group).
func (c *Classifier) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	late := time.AfterFunc(c.o.DrainTimeout, c.endLife)
	c.closing.Lock()
	late.Stop()
	c.closing.Unlock()
	c.endLife()
	var wg sync.WaitGroup
	for _, r := range c.replicas {
		wg.Go(r.end)
	}
	wg.Wait()
	if c.sockets != nil {
		killStrays(c.sockets.path)
		c.sockets.remove()
	}
	return nil
}
