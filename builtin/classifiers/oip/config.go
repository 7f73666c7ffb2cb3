package oip

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
)

const schema = `{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "additionalProperties": false,
  "required": ["url", "model"],
  "properties": {
    "url": {"type": "string", "peer": true, "pattern": "^(https?|grpcs?)://", "examples": ["http://localhost:8000"], "description": "the server: http://, https://, grpc:// or grpcs://, host and port"},
    "model": {"type": "string", "minLength": 1, "description": "the model's name on the server"},
    "version": {"type": "string", "description": "its version; default: the server chooses"},
    "input": {"type": "string", "description": "the tensor that takes the rows; default: the model's only input"},
    "output": {"type": "string", "description": "the output tensor; default: the model's only output, or its only float output"},
    "kind": {"enum": ["auto", "logits", "probabilities"], "default": "auto", "description": "what the output holds; auto: inferred from two rows"},
    "classes": {"type": "integer", "minimum": 2, "description": "number of classes; default: as many as the model answers"},
    "labels": {"type": "array", "items": {"type": "string"}, "minItems": 2, "description": "names of the classes, in the model's order"},
    "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "description": "one row as the model takes it, without the batch; default: by the model's metadata and the data"},
    "layout": {"enum": ["auto", "nchw", "nhwc", "flat"], "default": "auto", "description": "order of the dimensions of the model's input"},
    "input_range": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2, "description": "legal inputs: [lowest, highest]"},
    "dtype": {"enum": ["auto", "FP32", "FP64", "UINT8"], "default": "auto", "description": "type of the numbers sent; default: by the model's metadata, else FP32"},
    "rounding": {"enum": ["exact", "nearest"], "default": "exact", "description": "for UINT8: refuse numbers that are not whole, or round them"},
    "max_batch": {"type": "integer", "minimum": 1, "description": "rows per request; default: 128, or fewer where the model has a fixed batch or its configuration on Triton says so"},
    "encoding": {"enum": ["auto", "binary", "json"], "default": "auto", "description": "encoding of tensors over REST; auto: binary if the server announces binary_tensor_data"},
    "ca_file": {"type": "string", "format": "path", "peer": true, "description": "PEM file with the authorities to trust; default: the system's"},
    "cert_file": {"type": "string", "format": "path", "private": true, "description": "PEM file with the client's certificate"},
    "key_file": {"type": "string", "format": "path", "private": true, "description": "PEM file with its key"},
    "server_name": {"type": "string", "peer": true, "description": "name to expect in the server's certificate; default: the URL's host"},
    "token": {"type": "string", "minLength": 1, "secret": true, "description": "secret sent as Authorization: Bearer"},
    "token_in_clear": {"type": "boolean", "peer": true, "default": false, "description": "allow the token over http:// and grpc:// to other machines"},
    "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600, "default": 10, "description": "seconds for one request"},
    "retries": {"type": "integer", "minimum": 0, "maximum": 20, "default": 4, "description": "retries where the server is busy, unavailable or drops the connection"},
    "backoff": {"type": "number", "exclusiveMinimum": 0, "maximum": 60, "default": 0.2, "description": "seconds before the first retry; doubles each time, up to 10"},
    "deadline": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600, "default": 60, "description": "seconds for all attempts and pauses of one request; keep it below classifier.timeout"},
    "max_response_mb": {"type": "integer", "minimum": 1, "maximum": 1024, "default": 64, "description": "largest response that is read"}
  }
}`

// settings are the config.
type settings struct {
	URL           string    `json:"url"`
	Model         string    `json:"model"`
	Version       string    `json:"version"`
	Input         string    `json:"input"`
	Output        string    `json:"output"`
	Kind          string    `json:"kind"`
	Classes       int       `json:"classes"`
	Labels        []string  `json:"labels"`
	Shape         []int     `json:"shape"`
	Layout        string    `json:"layout"`
	Range         []float32 `json:"input_range"`
	Type          string    `json:"dtype"`
	Rounding      string    `json:"rounding"`
	MaxBatch      int       `json:"max_batch"`
	Encoding      string    `json:"encoding"`
	CA            string    `json:"ca_file"`
	Cert          string    `json:"cert_file"`
	Key           string    `json:"key_file"`
	ServerName    string    `json:"server_name"`
	Token         string    `json:"token"`
	InClear       bool      `json:"token_in_clear"`
	Timeout       float64   `json:"timeout"`
	Retries       int       `json:"retries"`
	Backoff       float64   `json:"backoff"`
	Deadline      float64   `json:"deadline"`
	MaxResponseMB int       `json:"max_response_mb"`

	at *url.URL
}

// readSettings parses and checks a config that fits the schema.
func readSettings(config sdk.Config) (*settings, error) {
	s := &settings{Kind: "auto", Layout: "auto", Type: "auto", Encoding: "auto", Timeout: 10, Retries: 4, Backoff: 0.2, Deadline: 60, MaxResponseMB: 64}
	if err := json.Unmarshal(config.JSON, s); err != nil {
		return nil, sdk.Diagnostics{{Message: err.Error()}}
	}
	var d sdk.Diagnostics
	fail := func(pointer, format string, args ...any) {
		d = append(d, sdk.Diagnostic{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	}
	u, err := url.Parse(s.URL)
	switch {
	case err != nil:
		fail("/url", "not a URL") // the error repeats it, and it may hold a password
	case u.User != nil:
		fail("/url", "holds a name or password; want a token, under token")
	case u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		fail("/url", "%q: want scheme, host and port, and a path at most", s.URL)
	case s.grpc() && (u.Port() == "" || strings.Trim(u.Path, "/") != ""):
		fail("/url", "%q: gRPC wants host and port alone", s.URL)
	default:
		s.at = u
	}
	if len(s.Range) == 2 && !(s.Range[0] < s.Range[1]) {
		fail("/input_range", "[%v, %v] is empty", s.Range[0], s.Range[1])
	}
	if s.Classes > 0 && len(s.Labels) > 0 && s.Classes != len(s.Labels) {
		fail("/labels", "%d names for %d classes", len(s.Labels), s.Classes)
	}
	if (s.Layout == "nchw" || s.Layout == "nhwc") && s.Shape != nil && len(s.Shape) != 3 {
		fail("/layout", "is %s, but the shape %v does not have three dimensions", s.Layout, s.Shape)
	}
	if (s.Cert == "") != (s.Key == "") {
		fail("/cert_file", "want a certificate and its key, or neither")
	}
	if s.at != nil && !s.tls() {
		for _, f := range [][2]string{{"ca_file", s.CA}, {"cert_file", s.Cert}, {"server_name", s.ServerName}} {
			if f[1] != "" {
				fail("/"+f[0], "has no meaning for %s://", s.at.Scheme)
			}
		}
		if s.Token != "" && !s.InClear && !loopback(s.at.Hostname()) {
			fail("/token", "would cross the network in clear text; want https:// or grpcs://, or token_in_clear: true")
		}
	}
	if strings.ContainsFunc(s.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		fail("/token", "the value, a secret, has characters that a header cannot hold")
	}
	if len(d) > 0 {
		return nil, d
	}
	return s, nil
}

func (s *settings) grpc() bool {
	return strings.HasPrefix(s.URL, "grpc://") || strings.HasPrefix(s.URL, "grpcs://")
}

func (s *settings) tls() bool { return s.at.Scheme == "https" || s.at.Scheme == "grpcs" }

// server is how errors name the server.
func (s *settings) server() string {
	return s.at.Scheme + "://" + s.at.Host + strings.TrimRight(s.at.Path, "/")
}

// limit is the size of the largest answer in bytes.
func (s *settings) limit() int64 { return int64(s.MaxResponseMB) << 20 }

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func seconds(v float64) time.Duration {
	return time.Duration(math.Ceil(v * float64(time.Second)))
}
