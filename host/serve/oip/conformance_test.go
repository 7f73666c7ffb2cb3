package oip_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/host/serve/oip"
)

// statement is a sentence of the protocol and the test that holds the server to it.
type statement struct {
	says string
	test func(t *testing.T, s *served)
}

// served are the two protocols, open to all and to administrators.
type served struct {
	models     *guards
	url, admin string
	grpc, root *grpc.ClientConn
}

// serve starts both protocols over the models of both.
func serve(t testing.TB) *served {
	g := both()
	g.unready = map[string]string{"asleep": "it is starting"}
	o, root := oip.Options{Version: "1.2.3", MaxBody: 8 << 20}, oip.Options{Version: "1.2.3", Admin: true}
	return &served{g, serveREST(t, g, o), serveREST(t, g, root), dial(t, serveGRPC(t, g, o)), dial(t, serveGRPC(t, g, root))}
}

// TestConformance goes through the protocol, statement by statement: the Open Inference
// Protocol's REST and gRPC pages, Triton's extensions for binary tensors and the
// model repository, grpc.health.v1 and reflection.
func TestConformance(t *testing.T) {
	s := serve(t)
	seen := map[string]bool{}
	for _, st := range slices.Concat(restStatements, tensorStatements, grpcStatements) {
		if seen[st.says] {
			t.Errorf("%q is said twice", st.says)
		}
		seen[st.says] = true
		t.Run(st.says, func(t *testing.T) { st.test(t, s) })
	}
}

// reply is what came over REST.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends a request over REST. Headers are KEY: VALUE.
func ask(t testing.TB, method, url, body string, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		key, value, _ := strings.Cut(h, ": ")
		r.Header.Set(key, value)
	}
	if r.Header.Get("Accept-Encoding") == "" {
		r.Header.Set("Accept-Encoding", "identity")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// is checks status and body, as JSON of any order.
func (r reply) is(t testing.TB, status int, body string) {
	t.Helper()
	var got, want any
	if err := json.Unmarshal([]byte(r.body), &got); err != nil || json.Unmarshal([]byte(body), &want) != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	if a, b := fmt.Sprint(got), fmt.Sprint(want); r.status != status || a != b {
		t.Errorf("%d %s, want %d %s", r.status, r.body, status, body)
	}
}

// fails checks that the answer is the protocol's error object, with some words.
func (r reply) fails(t testing.TB, status int, words ...string) {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal([]byte(r.body), &e); err != nil || len(e) != 1 || r.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s %v: want an object with error: %v", r.status, r.body, r.header, err)
	}
	text, _ := e["error"].(string)
	for _, w := range words {
		if r.status != status || !strings.Contains(text, w) {
			t.Errorf("%d %s, want %d with %q", r.status, r.body, status, w)
		}
	}
}

// oneRow is a request of one image, in JSON.
var oneRow = `{"id":"42","inputs":[{"name":"x","shape":[1,16],"datatype":"FP32","data":[` + strings.Repeat("1,", 15) + `1]}]}`

// withOne is oneRow with more members.
func withOne(more string) string { return strings.TrimSuffix(oneRow, "}") + "," + more + "}" }

// jsonAnswer is an inference response in JSON.
type jsonAnswer struct {
	Model      string         `json:"model_name"`
	Version    string         `json:"model_version"`
	ID         *string        `json:"id"`
	Parameters map[string]any `json:"parameters"`
	Outputs    []struct {
		Name       string         `json:"name"`
		Datatype   string         `json:"datatype"`
		Shape      []int          `json:"shape"`
		Parameters map[string]any `json:"parameters"`
		Data       []float64      `json:"data"`
	} `json:"outputs"`
}

// answers reads an inference response of status 200.
func (r reply) answers(t testing.TB) jsonAnswer {
	t.Helper()
	var a jsonAnswer
	text := r.body
	if n, err := strconv.Atoi(r.header.Get("Inference-Header-Content-Length")); err == nil {
		text = text[:n]
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil || r.status != http.StatusOK {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return a
}

func (a jsonAnswer) names() string {
	var names []string
	for _, o := range a.Outputs {
		names = append(names, o.Name)
	}
	return strings.Join(names, " ")
}

const theOutputs = "is_adversarial instance_score p_value predicted reconstructed corrected"

// restStatements are of paths, health, metadata, errors and the repository over REST.
var restStatements = []statement{
	{"REST: GET v2/health/live is 200 when the server can receive requests", func(t *testing.T, s *served) {
		ask(t, "GET", s.url+"/v2/health/live", "").is(t, 200, `{"live":true}`)
	}},
	{"REST: GET v2/health/ready is 200 when all models are ready and a 4xx when one is not", func(t *testing.T, s *served) {
		ask(t, "GET", s.url+"/v2/health/ready", "").is(t, 400, `{"ready":false}`)
		ask(t, "GET", serveREST(t, both(), oip.Options{})+"/v2/health/ready", "").is(t, 200, `{"ready":true}`)
		ask(t, "GET", serveREST(t, &guards{}, oip.Options{})+"/v2/health/ready", "").is(t, 400, `{"ready":false}`)
	}},
	{"REST: GET v2/models/M/ready is 200 with name and ready, and a 4xx for a model that is not", func(t *testing.T, s *served) {
		ask(t, "GET", s.url+"/v2/models/digits/ready", "").is(t, 200, `{"name":"digits","ready":true}`)
		ask(t, "GET", s.url+"/v2/models/digits/versions/1/ready", "").is(t, 200, `{"name":"digits","ready":true}`)
		ask(t, "GET", s.url+"/v2/models/asleep/ready", "").is(t, 400, `{"name":"asleep","ready":false}`)
		ask(t, "GET", s.url+"/v2/models/nobody/ready", "").fails(t, 404, `there is no model "nobody"`)
	}},
	{"REST: GET v2 is the server's name, version and extensions", func(t *testing.T, s *served) {
		ask(t, "GET", s.url+"/v2", "").is(t, 200, `{"name":"vaeguard","version":"1.2.3","extensions":["binary_tensor_data","parameters"]}`)
		ask(t, "GET", s.admin+"/v2/", "").is(t, 200, `{"name":"vaeguard","version":"1.2.3","extensions":["binary_tensor_data","parameters","model_repository"]}`)
	}},
	{"REST: GET v2/models/M is the model's name, versions, platform, inputs and outputs, −1 for a dimension of any size", func(t *testing.T, s *served) {
		outputs := `{"name":"is_adversarial","datatype":"INT64","shape":[-1]},{"name":"instance_score","datatype":"FP64","shape":[-1]},{"name":"p_value","datatype":"FP64","shape":[-1]},
			{"name":"predicted","datatype":"INT64","shape":[-1]},{"name":"reconstructed","datatype":"INT64","shape":[-1]},{"name":"corrected","datatype":"INT64","shape":[-1]}`
		want := `{"name":"digits","versions":["1","2"],"platform":"vaeguard","inputs":[{"name":"x","datatype":"FP32","shape":[-1,4,4,1]}],"outputs":[` + outputs +
			`,{"name":"probabilities","datatype":"FP32","shape":[-1,3]},{"name":"reconstruction","datatype":"FP32","shape":[-1,4,4,1]}]}`
		ask(t, "GET", s.url+"/v2/models/digits", "").is(t, 200, want)
		ask(t, "GET", s.url+"/v2/models/digits/versions/1", "").is(t, 200, want)
		ask(t, "GET", s.url+"/v2/models/lo%2Fans", "").is(t, 200, `{"name":"lo/ans","versions":["1"],"platform":"vaeguard","inputs":[
			{"name":"age","datatype":"INT64","shape":[-1,1]},{"name":"income","datatype":"FP64","shape":[-1,1]},{"name":"debt","datatype":"FP64","shape":[-1,1]},
			{"name":"town","datatype":"BYTES","shape":[-1,1]},{"name":"owns_home","datatype":"BYTES","shape":[-1,1]}],"outputs":[`+outputs+
			`,{"name":"probabilities","datatype":"FP32","shape":[-1,2]},{"name":"reconstruction","datatype":"FP32","shape":[-1,9]}]}`)
	}},
	{"REST: a model or version that the server lacks is an error", func(t *testing.T, s *served) {
		ask(t, "GET", s.url+"/v2/models/no%22body", "").fails(t, 404, `there is no model "no\"body"`)
		ask(t, "GET", s.url+"/v2/models/digits/versions/9", "").fails(t, 404, `model "digits" has no version "9"`)
		ask(t, "POST", s.url+"/v2/models/nobody/infer", oneRow).fails(t, 404, `there is no model "nobody"`)
		ask(t, "POST", s.url+"/v2/models/digits/versions/9/infer", oneRow).fails(t, 404, `has no version "9"`)
	}},
	{"REST: where the path has no version the server chooses one, and says which", func(t *testing.T, s *served) {
		if a := ask(t, "POST", s.url+"/v2/models/digits/infer", oneRow).answers(t); a.Model != "digits" || a.Version != "2" {
			t.Errorf("%s %s", a.Model, a.Version)
		}
		if a := ask(t, "POST", s.url+"/v2/models/digits/versions/1/infer", oneRow).answers(t); a.Version != "1" {
			t.Errorf("version %s", a.Version)
		}
	}},
	{"REST: the id of a request is that of the response, and none is invented", func(t *testing.T, s *served) {
		if a := ask(t, "POST", s.url+"/v2/models/digits/infer", oneRow).answers(t); a.ID == nil || *a.ID != "42" {
			t.Errorf("id %v", a.ID)
		}
		if a := ask(t, "POST", s.url+"/v2/models/digits/infer", strings.Replace(oneRow, `"id":"42",`, "", 1)).answers(t); a.ID != nil {
			t.Errorf("id %q", *a.ID)
		}
	}},
	{"REST: without outputs all that the model produces are returned", func(t *testing.T, s *served) {
		for _, body := range []string{oneRow, withOne(`"outputs":[]`)} {
			a := ask(t, "POST", s.url+"/v2/models/digits/infer", body).answers(t)
			if a.names() != theOutputs {
				t.Errorf("outputs %s", a.names())
			}
			for _, o := range a.Outputs {
				if fmt.Sprint(o.Shape) != "[1]" || len(o.Data) != 1 {
					t.Errorf("%+v", o)
				}
			}
		}
	}},
	{"REST: the outputs that are requested are returned, and no others", func(t *testing.T, s *served) {
		a := ask(t, "POST", s.url+"/v2/models/digits/infer", withOne(`"outputs":[{"name":"corrected"},{"name":"p_value"}]`)).answers(t)
		if a.names() != "corrected p_value" {
			t.Errorf("outputs %s", a.names())
		}
		ask(t, "POST", s.url+"/v2/models/digits/infer", withOne(`"outputs":[{"name":"logits"}]`)).fails(t, 400, `output "logits": there is no such output among [is_adversarial`)
		ask(t, "POST", s.url+"/v2/models/digits/infer", withOne(`"outputs":[{"name":"predicted"},{"name":"predicted"}]`)).fails(t, 400, `output "predicted" is wanted twice`)
	}},
	{"REST: an error has an HTTP error status and an object with error in its body", func(t *testing.T, s *served) {
		infer := s.url + "/v2/models/digits/infer"
		ask(t, "POST", infer, `{"inputs":`).fails(t, 400, "the body is no JSON")
		ask(t, "POST", infer, ``).fails(t, 400, "the body is no JSON")
		ask(t, "POST", infer, `{"inputs":[]}`).fails(t, 400, "the input x is missing")
		ask(t, "GET", s.url+"/v2/modells", "").fails(t, 404, `"/v2/modells"`)
		ask(t, "GET", s.url+"/v1/models/digits/x", "").fails(t, 404, "there is no such path")
		ask(t, "GET", s.url+"/v2/models//ready", "").fails(t, 404, "there is no such path")
		ask(t, "GET", s.url+"/v2/models/"+strings.Repeat("n", 5000), "").fails(t, 404, "there is no model", "…")
	}},
	{"REST: another method than the API's is refused, and Allow says which", func(t *testing.T, s *served) {
		r := ask(t, "GET", s.url+"/v2/models/digits/infer", "")
		if r.fails(t, 405, "want POST"); r.header.Get("Allow") != "POST" {
			t.Errorf("Allow %q", r.header.Get("Allow"))
		}
		r = ask(t, "DELETE", s.url+"/v2/models/digits", "")
		if r.fails(t, 405, "want GET"); r.header.Get("Allow") != "GET" {
			t.Errorf("Allow %q", r.header.Get("Allow"))
		}
		if r := ask(t, "HEAD", s.url+"/v2/health/live", ""); r.status != 200 || r.body != "" {
			t.Errorf("HEAD: %d %q", r.status, r.body)
		}
	}},
	{"REST: names of models and versions in paths may be escaped", func(t *testing.T, s *served) {
		ask(t, "GET", s.url+"/v2/models/lo%2fans/versions/1/ready", "").is(t, 200, `{"name":"lo/ans","ready":true}`)
	}},
	{"repository, REST: index lists models with version, state and reason, or only those ready", func(t *testing.T, s *served) {
		ready := `{"name":"digits","version":"1","state":"READY","reason":""},{"name":"digits","version":"2","state":"READY","reason":""},{"name":"lo/ans","version":"1","state":"READY","reason":""}`
		all := ask(t, "POST", s.admin+"/v2/repository/index", "")
		all.is(t, 200, `[`+ready+`,{"name":"asleep","version":"1","state":"UNAVAILABLE","reason":"it is starting"}]`)
		ask(t, "POST", s.admin+"/v2/repository/index", `{"ready":true}`).is(t, 200, `[`+ready+`]`)
		ask(t, "POST", s.admin+"/v2/repository/index", `[]`).fails(t, 400, "no JSON object")
		ask(t, "POST", serveREST(t, &guards{}, oip.Options{Admin: true})+"/v2/repository/index", ``).is(t, 200, `[]`)
	}},
	{"repository, REST: load and unload change one model, and an error says why it failed", func(t *testing.T, s *served) {
		g := both()
		url := serveREST(t, g, oip.Options{Admin: true}) + "/v2/repository/models/"
		ask(t, "POST", url+"lo%2Fans/load", `{"parameters":{}}`).is(t, 200, `{}`)
		ask(t, "POST", url+"digits/unload", ``).is(t, 200, `{}`)
		ask(t, "POST", url+"nobody/load", ``).fails(t, 404, "nobody")
		g.broken = io.ErrUnexpectedEOF
		ask(t, "POST", url+"digits/load", ``).fails(t, 400, "unexpected EOF")
		if got := strings.Join(g.loads, ", "); got != "load lo/ans, unload digits, load nobody, load digits" {
			t.Errorf("the models were told to %s", got)
		}
	}},
	{"repository, REST: without administration it is refused", func(t *testing.T, s *served) {
		for _, path := range []string{"index", "models/digits/load", "models/digits/unload"} {
			ask(t, "POST", s.url+"/v2/repository/"+path, "").fails(t, 403, "where the server is administered")
		}
		if len(s.models.loads) > 0 {
			t.Errorf("the models were told to %v", s.models.loads)
		}
	}},
}

// le is the bytes of numbers, for binary data.
func le(v ...byte) string { return string(bytes.Clone(v)) }
