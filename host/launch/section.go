package launch

import (
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/host/preprocess"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Section are the keys of the spec's section classifier that say which model
// it is: one of Plugin, Path and Command.
type Section struct {
	Plugin  string         `yaml:"plugin" doc:"shipped or discovered name"`
	Path    string         `yaml:"path" format:"path" doc:"an executable"`
	Command []string       `yaml:"command" doc:"a program and its arguments"`
	SHA256  string         `yaml:"sha256" doc:"pin: refuse anything else before it runs"`
	Config  map[string]any `yaml:"config" doc:"checked against the plugin's own schema"`
	Train   map[string]any `yaml:"train" doc:"options of the plugin's Fit; absent: config names weights"`
	// Accuracy takes the place of that in plugin.yaml.
	Accuracy *float64 `yaml:"accuracy" check:"> 0, <= 1" doc:"accuracy that the model's author declares, up to 1: health holds it against that on calibration rows; absent: that of plugin.yaml, if it has one"`

	Preprocess *preprocess.Section `yaml:"preprocess" doc:"from the rows that the guard sees to those that the model takes: (x·scale − mean)/std; absent: the same rows"`
}

// Process are the keys of the spec's section classifier that say how its
// process is run.
type Process struct {
	Checks     string  `yaml:"checks" default:"strict" enum:"strict|warn|off" doc:"conformance checks at load"`
	Replicas   int     `yaml:"replicas" default:"1" check:">= 1, <= 256" doc:"processes that share the calls"`
	Timeout    float64 `yaml:"timeout" default:"300" check:"> 0" doc:"seconds for one call"`
	FitTimeout float64 `yaml:"fit_timeout" default:"86400" check:"> 0, <= 31536000" doc:"seconds for a whole training of the plugin"`
	FitSilence float64 `yaml:"fit_silence" default:"1800" check:"> 0, <= 31536000" doc:"seconds between two reports of such a training"`
	Restarts   int     `yaml:"restarts" default:"3" check:">= 0" doc:"crashes tolerated in a run"`
	MemoryMB   int     `yaml:"memory_limit_mb" check:">= 0" doc:"limit of the process's memory (Linux); 0: none"`
	OpenFiles  int     `yaml:"open_files_limit" check:">= 0" doc:"limit of the process's open files (Linux); 0: none"`
	Confine    string  `yaml:"confine" default:"auto" enum:"auto|on|off" doc:"keep the process from the network and from files that it does not need (Linux); auto: a plugin that declares its needs, the network not among them, as shipped ones do, as far as the kernel can; on: any plugin, an error where the kernel cannot"`
	NoNewPriv  bool    `yaml:"no_new_privileges" doc:"the process cannot gain privileges, as by sudo (Linux)"`
}

// Named reports whether the section says which model it is.
func (s Section) Named() bool { return s.Plugin != "" || s.Path != "" || s.Command != nil }

// Key is the key that says which model it is: plugin, path or command.
func (s Section) Key() string {
	switch {
	case s.Path != "":
		return "path"
	case len(s.Command) > 0:
		return "command"
	}
	return "plugin"
}

// Validate finds what is wrong between the keys.
func (s Section) Validate() error {
	var faults registry.FieldErrors
	faults.OneOf([]string{"plugin", "path", "command"}, s.Plugin != "", s.Path != "", s.Command != nil)
	if s.Command != nil && len(s.Command) == 0 {
		faults.Add("command", "names no program")
	}
	if s.SHA256 != "" && (len(s.SHA256) != 64 || strings.Trim(s.SHA256, "0123456789abcdefABCDEF") != "") {
		faults.Add("sha256", "want 64 hexadecimal digits, got %d characters", len(s.SHA256))
	}
	return faults.Err()
}

// Find is the plugin that the section names, with its pin: the section's own,
// else that of the lock in base, the folder of relative paths, unless f leaves
// locks alone.
func (s Section) Find(f Finder, base string) (Plugin, error) {
	var p Plugin
	var err error
	name := s.Plugin
	switch s.Key() {
	case "path":
		name = s.Path
		p, err = f.Path(s.Path, base)
	case "command":
		p.Command = Argv(s.Command, base)
		p.Name = p.Command.Name
		name = p.Name
	default:
		p, err = f.Find(s.Plugin)
	}
	if err != nil {
		return p, err
	}
	p.Command.SHA256 = s.SHA256
	if s.SHA256 == "" && !f.NoLock {
		lock, err := ReadLock(filepath.Join(base, LockName))
		if err != nil {
			return p, err
		}
		p.Command.SHA256 = lock.Pin(name)
	}
	return p, nil
}

// ConfigJSON is Config as JSON; {} if there is none.
func (s Section) ConfigJSON() ([]byte, error) {
	if s.Config == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(s.Config)
}

// Deps are what New needs besides the sections.
type Deps struct {
	Finder  Finder
	Base    string // folder of the section's relative paths
	Config  sdk.Config
	Threads int          // of the plugin; 0: GOMAXPROCS
	Logger  hclog.Logger // nil: none
	// Rows are rows of the data to check with, NHWC; nil: random ones.
	Rows *tensor.Tensor
	// CheckSchema is that of Options.
	CheckSchema func(schema []byte) error
	// Consent is asked before anything but a shipped plugin is started; nil: the
	// section is the caller's own.
	Consent *Consent
}

// New finds the plugin that a section names, asks for consent, starts it as another says, and
// configures and checks it. Errors are of type *Error, except ctx's own. The
// caller must Close the result.
func New(ctx context.Context, s Section, p Process, d Deps) (*Classifier, error) {
	found, err := s.Find(d.Finder, d.Base)
	if err != nil {
		return nil, err
	}
	if d.Consent != nil {
		all, err := d.Consent.admit(ctx, &found, d.Config)
		if err != nil {
			return nil, err
		}
		if !all {
			if p, d.Config.JSON, err = d.Consent.hold(p, found, d.Config.JSON, d.Logger); err != nil {
				return nil, err
			}
		}
	}
	checks, err := ParseChecks(p.Checks)
	if err != nil {
		return nil, err
	}
	confine, err := p.confine(d)
	if err != nil {
		return nil, err
	}
	restarts := p.Restarts
	if restarts == 0 {
		restarts = -1 // never
	}
	threads := d.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	var logger hclog.Logger
	if d.Logger != nil {
		logger = d.Logger.Named("plugin")
	}
	return Start(ctx, Options{
		Command: found.Command, Config: d.Config, Threads: threads, Logger: logger, Replicas: p.Replicas,
		Limits:        Limits{MemoryMB: p.MemoryMB, OpenFiles: p.OpenFiles, NoNewPrivileges: p.NoNewPriv},
		Confine:       confine,
		CallTimeout:   seconds(p.Timeout),
		FitTimeout:    seconds(p.FitTimeout),
		FitSilence:    seconds(p.FitSilence),
		RestartBudget: restarts, Checks: checks, CheckRows: d.Rows, CheckSchema: d.CheckSchema,
		Preprocess: s.Preprocess,
	})
}

// confine is the mode of the section. A detector is data, and does not choose that it is not held.
func (p Process) confine(d Deps) (Confine, error) {
	c, err := ParseConfine(p.Confine)
	if d.Consent != nil && c == ConfineOff {
		c = ConfineAuto
	}
	return c, err
}

// Held says what New would keep the plugin's processes from, and starts nothing.
func Held(s Section, p Process, d Deps) (Confinement, error) {
	found, err := s.Find(d.Finder, d.Base)
	if err != nil {
		return Confinement{}, err
	}
	o := Options{}
	if o.Confine, err = p.confine(d); err != nil {
		return Confinement{}, err
	}
	return o.held(found.Command), nil
}

// seconds is a number of them, at most the longest time that there is.
func seconds(n float64) time.Duration {
	return time.Duration(min(n*float64(time.Second), math.MaxInt64/2))
}
