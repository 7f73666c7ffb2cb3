package serve

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
)

// Upstream is the server of a model that the guard stands before.
type Upstream struct {
	URL    string `yaml:"url" required:"true" doc:"of the server over HTTP: http://HOST:PORT, or https"`
	GRPC   string `yaml:"grpc" doc:"of the server over gRPC: HOST:PORT, unix:PATH, or grpcs://HOST:PORT for TLS; absent: calls are refused as UNIMPLEMENTED"`
	Model  string `yaml:"model" doc:"the model's name there; absent: the name here"`
	Input  string `yaml:"input" doc:"the tensor with the rows; absent: the only one, or one for each column"`
	Output string `yaml:"output" doc:"the tensor with the classifier's answer, (rows, classes), logits or probabilities, which is found out: until then, and where it is another model's, rows are judged by what the detector's classifier answers about them; absent: the only floats of that shape"`
}

// Events are a sink of CloudEvents.
type Events struct {
	Path     string   `yaml:"path" default:"/events" doc:"where events come over HTTP"`
	ReplyURL string   `yaml:"reply_url" doc:"where verdicts go, as CloudEvents; absent: they are only counted"`
	Type     string   `yaml:"type" default:"org.kubeflow.serving.inference.outlier" doc:"type of those"`
	Input    string   `yaml:"input" doc:"the tensor with the rows; absent: the only one, or one for each column"`
	Output   string   `yaml:"output" doc:"the tensor with the classifier's answer, (rows, classes); absent: the only floats of that shape"`
	Token    string   `yaml:"token" enum:"clients|none" default:"clients" doc:"what events over HTTP need: the token of clients, where there is one, or none, for KServe's logger, which sends no token and whose queue a refusal holds up"`
	Wait     Duration `yaml:"wait" default:"1m" doc:"that a request waits for its response, or a response for its request"`
	Kafka    *Kafka   `yaml:"kafka" doc:"a topic that events come from too"`
}

// Kafka is a topic of CloudEvents.
type Kafka struct {
	Brokers   []string `yaml:"brokers" required:"true" doc:"some of them, HOST:PORT"`
	Topic     string   `yaml:"topic" required:"true" doc:"of the events; a request and its response have the same key"`
	Group     string   `yaml:"group" default:"vaeguard" doc:"of consumers that share the topic's partitions"`
	Reply     string   `yaml:"reply_topic" doc:"where verdicts go; absent: they are only counted"`
	TLS       bool     `yaml:"tls" doc:"speak TLS, with the system's certificate authorities"`
	User      string   `yaml:"user" doc:"name for SASL; absent: none"`
	Password  string   `yaml:"password" secret:"true" doc:"its password"`
	Mechanism string   `yaml:"mechanism" enum:"plain|scram-sha-256|scram-sha-512" default:"plain" doc:"how the password is shown"`
}

// upstreamFaults are what is wrong with a proxy.
func (s *Spec) upstreamFaults(errs *registry.FieldErrors) {
	names := map[string]bool{} // by which clients ask for models
	for i, m := range s.Models {
		at := fmt.Sprintf("models[%d]", i)
		if m.Block == "row" && m.Policy != "block" {
			errs.Add(at+".block", "is of policy block, and the policy is %s", m.Policy)
		}
		name, key := m.Name, ".name"
		if u := m.Upstream; u != nil {
			if _, err := proxy.ParseURL(u.URL); err != nil && u.URL != "" {
				errs.Add(at+".upstream.url", "%v", err)
			}
			name, key = cmp.Or(u.Model, m.Name), ".upstream.model"
		}
		if names[name] && (m.Upstream != nil || !s.twice(i)) {
			errs.Add(at+key, "%q is guarded twice: requests for it could go to either", name)
		}
		names[name] = true
	}
}

// twice reports whether a model's name is that of one before it, which is told by itself.
func (s *Spec) twice(i int) bool {
	return slices.ContainsFunc(s.Models[:i], func(m Model) bool { return m.Name == s.Models[i].Name })
}

// eventFaults are what is wrong with the sink.
func (s *Spec) eventFaults(errs *registry.FieldErrors) {
	e := s.Events
	if e == nil {
		return
	}
	if s.Listen.HTTP == "" && e.Kafka == nil {
		errs.Add("events", "come over listen.http, which is not there, or from events.kafka")
	}
	if k := e.Kafka; k != nil {
		for i, b := range k.Brokers {
			if _, _, err := net.SplitHostPort(b); err != nil {
				errs.Add(fmt.Sprintf("events.kafka.brokers[%d]", i), "%q: want HOST:PORT", b)
			}
		}
		if k.Topic != "" && k.Topic == k.Reply {
			errs.Add("events.kafka.reply_topic", "is the topic of the events")
		}
	}
	taken := strings.HasPrefix(e.Path, "/v1/") || strings.HasPrefix(e.Path, "/v2")
	clean := e.Path == "/" || path.Clean(e.Path) == strings.TrimSuffix(e.Path, "/")
	if !strings.HasPrefix(e.Path, "/") || taken || !clean || strings.ContainsAny(e.Path, "{} ") {
		errs.Add("events.path", "%q: want a path such as /events, outside /v2 and /v1", e.Path)
	}
	if e.ReplyURL != "" {
		if u, err := url.Parse(e.ReplyURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			errs.Add("events.reply_url", "%q: want http:// or https://", e.ReplyURL)
		}
	}
}
