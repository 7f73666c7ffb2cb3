package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
)

// Kind is what a server's file says under kind.
const Kind = "Server"

// Spec is one declared server, defaults filled in. Field tags are those of package
// registry and, for defaults, of spec.Parse.
type Spec struct {
	APIVersion string  `yaml:"api_version" enum:"vaeguard/v1" required:"true" doc:"format of this file"`
	Kind       string  `yaml:"kind" enum:"Server" required:"true" doc:"what the file declares"`
	Listen     Listen  `yaml:"listen" doc:"where it listens: HOST:PORT, or unix:PATH"`
	Repository string  `yaml:"repository" format:"path" doc:"folder of NAME/VERSION/, a detector each; the highest version of each name is served, beside models, whose names come first"`
	Models     []Model `yaml:"models" doc:"models one by one"`
	Events     *Events `yaml:"events" doc:"a sink of CloudEvents, for KServe's payload logger: inferences that others answered are judged beside; absent: none"`
	Limits     Limits  `yaml:"limits" doc:"what one request may take"`
	Auth       Auth    `yaml:"auth" doc:"who may ask"`
	Watch      Watch   `yaml:"watch" doc:"what raises an alarm, in the log, the metrics and on the page of admin"`
	Traces     *Traces `yaml:"traces" doc:"where OpenTelemetry spans go; absent: nowhere, unless the variables OTEL_EXPORTER_OTLP_* of the environment name a collector"`
	Log        Log     `yaml:"log" doc:"what is written to standard error"`

	*spec.Document `yaml:"-"`
}

// Listen says where a server listens. What is absent is not served.
type Listen struct {
	HTTP  string `yaml:"http" doc:"the protocols over HTTP/1.1 and HTTP/2"`
	GRPC  string `yaml:"grpc" doc:"the protocols over gRPC"`
	Admin string `yaml:"admin" doc:"health, metrics, the repository, profiles: others than this machine's need auth.admin for all but health and metrics"`
	TLS   *TLS   `yaml:"tls" doc:"certificates, read again when their files change"`
	Pprof bool   `yaml:"pprof" doc:"profiles at /debug/pprof/ of admin"`
}

// TLS are the certificates of a server.
type TLS struct {
	Cert     string `yaml:"cert" required:"true" format:"path" doc:"certificate chain, PEM"`
	Key      string `yaml:"key" required:"true" format:"path" doc:"its private key, PEM"`
	ClientCA string `yaml:"client_ca" format:"path" doc:"who signs clients' certificates, PEM; absent: clients need none"`
	Admin    bool   `yaml:"admin" doc:"admin too"`
}

// Model is one model to serve.
type Model struct {
	Name            string        `yaml:"name" required:"true" doc:"what clients call it"`
	Detector        string        `yaml:"detector" required:"true" format:"path" doc:"a detector's folder, a run or a pack"`
	ReconstructWith *host.Replica `yaml:"reconstruct_with" doc:"who answers for reconstructions: a local copy of the classifier, another replica; absent: the detector's own classifier"`
	Base            string        `yaml:"base" format:"path" doc:"folder that relative paths of the detector's spec start from; absent: as when it was made"`
	Classifier      []string      `yaml:"classifier" doc:"values of the detector's section classifier to replace, KEY=VALUE"`
	AllowCommand    []string      `yaml:"allow_command" doc:"digests, sha256:…, of commands that the detector may start besides shipped plugins, and of what else it asks for: servers, variables, files"`
	Lock            string        `yaml:"lock" format:"path" doc:"file of 'vaeguard plugin lock' with plugins that the detector may start"`
	Upstream        *Upstream     `yaml:"upstream" doc:"server of the model, before which the guard stands as a proxy: all passes, and inferences are judged by its answer; absent: the guard itself is the model, which beside others with an upstream is asked by its name alone"`
	Policy          string        `yaml:"policy" enum:"observe|annotate|block|correct" default:"annotate" doc:"what comes of a verdict, with upstream: observe judges beside, annotate adds it to the answer, block refuses requests with a flagged row, correct replaces the class of flagged rows"`
	Block           string        `yaml:"block" enum:"request|row" default:"request" doc:"what policy block refuses: a request with a flagged row, or flagged rows alone, whose numbers in the answer become NaN (null in JSON), −1 or the highest that is no class, and whose texts become empty"`
	OnFailure       string        `yaml:"on_failure" enum:"open|closed" default:"open" doc:"what comes of an inference that cannot be judged, with upstream: open lets it pass and counts it, closed refuses it"`
	Batching        Batching      `yaml:"batching" doc:"requests that are judged together; answers do not depend on it"`
	Budget          Budget        `yaml:"budget" doc:"how much of the traffic is judged where no answer hangs on it: policies observe and annotate, and events"`
}

// Batching says how requests are gathered.
type Batching struct {
	MaxRows     int      `yaml:"max_rows" default:"64" check:">= 1, <= 65536" doc:"rows judged together at most"`
	MaxDelay    Duration `yaml:"max_delay" default:"2ms" doc:"that a request waits for others, while another batch is judged"`
	Concurrency int      `yaml:"concurrency" default:"2" check:">= 1, <= 1024" doc:"batches at once, and so calls of the classifier"`
}

// Budget bounds what judging costs the model.
type Budget struct {
	ExtraRows float64 `yaml:"extra_rows_per_second" check:">= 0" doc:"rows that the model may be asked for on top of its users'; 0: any number"`
	Sample    float64 `yaml:"sample" default:"1" check:">= 0, <= 1" doc:"share of requests that is judged"`
}

// Limits bound requests.
type Limits struct {
	Body       Size     `yaml:"body" default:"64MiB" doc:"bytes of a request, compressed or not"`
	Queue      int      `yaml:"queue" default:"1024" check:">= 1" doc:"rows of a model that wait; more are refused"`
	Deadline   Duration `yaml:"deadline" default:"10s" doc:"of a request; 0s: none but the client's"`
	Read       Duration `yaml:"read" default:"60s" doc:"that a request may take to arrive, and what is answered to be taken; 0s: any time"`
	Linger     Duration `yaml:"linger" default:"0s" doc:"from SIGTERM, from which on the server is not ready, until it takes nothing new: for as long as others take to send elsewhere"`
	Drain      Duration `yaml:"drain" default:"25s" doc:"from then on, until what is still under way is cut off"`
	ClientRows float64  `yaml:"per_client_rows_per_second" check:">= 0" doc:"rows a second of one client, which the network of 64 bits of an address of IPv6 is; 0: any number"`
}

// ofModels are those that each model has for itself.
func (l Limits) ofModels() Limits {
	return Limits{Queue: l.Queue, Deadline: l.Deadline, ClientRows: l.ClientRows}
}

// Auth says who may ask.
type Auth struct {
	Bearer     string `yaml:"bearer" secret:"true" doc:"token of clients, as in Authorization: Bearer TOKEN; absent: anybody"`
	Admin      string `yaml:"admin" secret:"true" doc:"token of administrators; absent: whoever is on this machine"`
	BearerFile string `yaml:"bearer_file" format:"path" doc:"instead of bearer: file with tokens of clients, one a line, each of which is good; read again when it changes"`
	AdminFile  string `yaml:"admin_file" format:"path" doc:"instead of admin: file with tokens of administrators, as bearer_file has them"`
}

// clients reports whether clients need a token.
func (a Auth) clients() bool { return a.Bearer != "" || a.BearerFile != "" }

// admins reports whether administrators need one.
func (a Auth) admins() bool { return a.Admin != "" || a.AdminFile != "" }

// Watch says what raises an alarm.
type Watch struct {
	Alpha     float64  `yaml:"alpha" default:"0.001" check:"> 0, < 1" doc:"false-alarm probability, for the whole life of a model's version, of the alarm that inputs are no longer like the calibration rows"`
	Notice    int      `yaml:"notice" default:"5" check:">= 1" doc:"near-duplicates of its own rows after which a client is noticed"`
	Refuse    int      `yaml:"refuse" check:">= 0" doc:"near-duplicates of its own rows after which a client is refused for refuse_for, by 429 or RESOURCE_EXHAUSTED; 0: nobody is. Before a model server of policy observe nobody is refused, and what such a client asks is not judged"`
	RefuseFor Duration `yaml:"refuse_for" default:"10m" doc:"that such a client is refused; it then begins anew"`
	Share     float64  `yaml:"share" default:"0.5" check:"> 0, <= 1" doc:"share of two rows' hashed windows that makes them near-duplicates"`
	Rows      int      `yaml:"rows" default:"1000" check:">= 1, <= 1000000" doc:"rows that are remembered of each client"`
	Clients   int      `yaml:"clients" default:"1000" check:">= 1, <= 1000000" doc:"clients that are remembered; the network of 64 bits of an address of IPv6 is one"`
	Total     int      `yaml:"total" default:"50000" check:">= 1, <= 10000000" doc:"rows that are remembered of all clients of a model, at about 0.8 kB each: those who have not asked for longest are forgotten"`
}

// Log says what is logged.
type Log struct {
	Access bool `yaml:"access" default:"true" doc:"a line of JSON for each request, without what it holds"`
}

// Load reads a server's file with overrides (path=value). Errors are spec.Errors:
// all faults at once.
func Load(file string, set []string, c host.Components) (*Spec, error) {
	s := &Spec{}
	var err error
	if s.Document, err = spec.Load(file, s, s.options(set, c)); err != nil {
		return nil, err
	}
	return s, nil
}

// ForDetectors is the server of detectors that a command line names, with the
// defaults of vaeguard serve and overrides. Of several, each is called as its folder.
func ForDetectors(detectors, set []string, c host.Components) (*Spec, error) {
	type model struct {
		Name     string `json:"name"`
		Detector string `json:"detector"`
	}
	var models []model
	for _, d := range detectors {
		abs, err := filepath.Abs(d)
		if err != nil {
			return nil, err
		}
		models = append(models, model{modelName(abs), strings.ReplaceAll(abs, "${", "$${")})
	}
	list, err := json.Marshal(models)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("api_version: vaeguard/v1\nkind: Server\nlisten: {http: '127.0.0.1:8080', grpc: '127.0.0.1:9000', admin: '127.0.0.1:9090'}\nmodels: %s\n", list)
	s := &Spec{}
	if s.Document, err = spec.Parse("", []byte(text), s, s.options(set, c)); err != nil {
		var faults spec.Errors
		if errors.As(err, &faults) {
			for i := range faults {
				faults[i].Pos = spec.Position{} // in a text that nobody wrote
			}
		}
		return nil, err
	}
	return s, nil
}

// modelName is what a detector's path suggests as a name: run/detector is run.
func modelName(path string) string {
	name := filepath.Base(path)
	if name == "detector" {
		name = filepath.Base(filepath.Dir(path))
	}
	name = strings.TrimSuffix(name, ".vg")
	return strings.Map(func(r rune) rune {
		if nameRune(r) {
			return r
		}
		return '-'
	}, name)
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
}

func (s *Spec) options(set []string, c host.Components) spec.Options {
	return spec.Options{Tables: c.Tables(), Set: set, Checks: []spec.Check{
		{Find: func(d *spec.Document, _ spec.Errors) spec.Errors { return d.Faults("", s.faults()) }},
	}}
}

// faults are what no single key tells.
func (s *Spec) faults() error {
	var errs registry.FieldErrors
	if s.Repository == "" && len(s.Models) == 0 {
		errs.Add("models", "is missing: name a detector, or a repository of them")
	}
	s.upstreamFaults(&errs)
	s.eventFaults(&errs)
	names := map[string]bool{}
	for i, m := range s.Models {
		at := fmt.Sprintf("models[%d].name", i)
		if names[m.Name] {
			errs.Add(at, "%q appears twice", m.Name)
		}
		if strings.ContainsFunc(m.Name, func(r rune) bool { return !nameRune(r) }) || strings.Trim(m.Name, ".") == "" && m.Name != "" {
			errs.Add(at, "%q: want letters, digits, dots, hyphens and underscores", m.Name)
		}
		names[m.Name] = true
	}
	if s.Listen.HTTP == "" && s.Listen.GRPC == "" {
		errs.Add("listen", "names neither http nor grpc: nobody could ask")
	}
	places := map[string]string{}
	for _, l := range s.Listen.all() {
		if l.at == "" {
			continue
		}
		if err := checkAddress(l.at); err != nil {
			errs.Add("listen."+l.name, "%v", err)
		}
		if other := places[l.at]; other != "" && !strings.HasSuffix(l.at, ":0") {
			errs.Add("listen."+l.name, "is where %s listens", other)
		}
		places[l.at] = l.name
	}
	if s.Listen.TLS != nil && s.Listen.TLS.Admin && s.Listen.Admin == "" {
		errs.Add("listen.tls.admin", "there is no listen.admin")
	}
	if s.Watch.RefuseFor == 0 {
		errs.Add("watch.refuse_for", "is 0s: want some time, or no watch.refuse")
	}
	if s.Auth.Bearer != "" && s.Auth.Bearer == s.Auth.Admin {
		errs.Add("auth.admin", "is the token of all clients")
	}
	if s.Auth.Bearer != "" && s.Auth.BearerFile != "" {
		errs.Add("auth.bearer_file", "stands beside bearer: want one of them")
	}
	if s.Auth.Admin != "" && s.Auth.AdminFile != "" {
		errs.Add("auth.admin_file", "stands beside admin: want one of them")
	}
	return errs.Err()
}

// place is where one of the listeners is.
type place struct{ name, at string }

func (l Listen) all() []place {
	return []place{{"http", l.HTTP}, {"grpc", l.GRPC}, {"admin", l.Admin}}
}

// checkAddress refuses what no listener takes.
func checkAddress(at string) error {
	if path, ok := strings.CutPrefix(at, "unix:"); ok {
		if path == "" {
			return fmt.Errorf("%q names no file", at)
		}
		return nil
	}
	if _, _, err := net.SplitHostPort(at); err != nil {
		return fmt.Errorf("%q: want HOST:PORT or unix:PATH", at)
	}
	return nil
}

// loopback reports whether only this machine can reach an address.
func loopback(at string) bool {
	if strings.HasPrefix(at, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(at)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Schema is the JSON Schema (draft-07) of servers' files.
func Schema(c host.Components) []byte { return spec.Schema("vaeguard server", Spec{}, c.Tables()...) }

// Guide documents the keys of servers' files.
func Guide(c host.Components) spec.Guide { return spec.Guide{Root: Spec{}, Tables: c.Tables()} }
