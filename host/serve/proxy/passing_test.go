package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
)

// none are no guards: who passes needs none.
type none struct{ judge.Models }

// Lease implements judge.Models.
func (none) Lease(name, _ string) (judge.Model, func(), error) {
	return nil, nil, &judge.NotFoundError{Name: name}
}

// echo answers with a digest of what came, and with all kinds of headers.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if r.Header.Get("Content-Length") == "0" {
		r.Header.Del("Content-Length") // says what its absence does
	}
	r.Header.Del("X-Forwarded-For")
	r.Header.Del("X-Forwarded-Host")
	r.Header.Del("X-Forwarded-Proto")
	h := w.Header()
	h.Set("Date", "now")
	h.Set("X-Request-Id", "theirs")
	h["Set-Cookie"] = []string{"a=1", "b=2"}
	h.Set("Trailer", "X-After")
	if strings.Contains(r.URL.RawQuery, "zip") {
		h.Set("Content-Encoding", "gzip") // which it is not: nobody may look
	}
	code := http.StatusOK
	if n := len(body); n > 0 && body[0]%4 == 1 {
		code = http.StatusTeapot
	}
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, "%s %s\n", r.Method, r.RequestURI)
		_ = r.Header.Write(w)
		fmt.Fprintf(w, "%x %d\n", sha256.Sum256(body), len(body))
		_, _ = w.Write(body)
	}
	h.Set("X-After", "it")
}

// ask sends a request as it is written, and gives all of the answer.
func ask(t *testing.T, to, method, target string, header http.Header, body []byte) (string, error) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n", method, target, len(body))
	_ = header.Write(c)
	fmt.Fprint(c, "\r\n")
	_, _ = c.Write(body)
	r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	var out bytes.Buffer
	fmt.Fprintln(&out, r.StatusCode)
	r.Header.Del("Trailer") // of this connection
	_ = r.Header.Write(&out)
	out.Write(text)
	_ = r.Trailer.Write(&out)
	return out.String(), err
}

// All that is no inference passes byte for byte: requests as the model server sees them,
// and answers as clients do.
func FuzzPasses(f *testing.F) {
	up := httptest.NewServer(http.HandlerFunc(echo))
	f.Cleanup(up.Close)
	p, err := proxy.New(none{}, []proxy.Model{{Name: "m", URL: up.URL}}, proxy.Options{MaxBody: 10})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(p.Close)
	front := httptest.NewServer(p)
	f.Cleanup(front.Close)
	for i, path := range []string{"/", "/v2/models/m", "/v2/models/other/infer", "/a//b/../c", "//x/y", "/a%2Fb/%e4^|", "/v1/models/m:predict", "/v2/models/m/generate_stream", "/v2/repository/models/m/load"} {
		f.Add(uint8(i), path, "a=1;b=%zz&zip", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", []byte("body of some length"))
	}
	methods := []string{"GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "REPORT"}
	f.Fuzz(func(t *testing.T, m uint8, path, query, value string, body []byte) {
		plain := func(s string, no string) string {
			return strings.Map(func(r rune) rune {
				if r <= ' ' || r >= 0x7f || strings.ContainsRune(no, r) {
					return -1
				}
				return r
			}, s)
		}
		method, path := methods[int(m)%len(methods)], "/"+strings.TrimPrefix(plain(path, "?#"), "/")
		target := path
		if query != "" {
			target += "?" + plain(query, "#")
		}
		if u, err := url.ParseRequestURI(target); err != nil || strings.HasPrefix(path, "//") && u.EscapedPath() != path {
			return // net/http reads no such target
		} else if method == "POST" && (u.Path == "/v1/models/m:predict" || strings.HasPrefix(u.Path, "/v2/models/m/") && strings.HasSuffix(u.Path, "/infer")) {
			return // it is an inference
		}
		h := http.Header{"Traceparent": {plain(value, "")}, "Authorization": {"Bearer t"}, "Accept-Encoding": {"br"}, "X-Vaeguard-Mine": {"a", "b"}, "User-Agent": {"u"}}
		want, err := ask(t, up.URL, method, target, h, body)
		if err != nil {
			return // the model server does not answer either
		}
		got, err := ask(t, front.URL, method, target, h, body)
		if err != nil || got != want {
			t.Errorf("%s %s: %v\n%s\nwant\n%s", method, target, err, got, want)
		}
	})
}

// A server that answers HEAD with a body, as Triton does, begins nobody else's answer with it.
func TestHeadWithBody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	answer := func(text string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	}
	var again atomic.Int64 // requests that came after HEAD over its connection
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				from, head := bufio.NewReader(c), false
				for {
					r, err := http.ReadRequest(from)
					if err != nil {
						return
					}
					if head {
						again.Add(1)
					}
					if head = r.Method == http.MethodHead; head {
						_, _ = io.WriteString(c, answer(answer("of HEAD")))
					} else {
						_, _ = io.WriteString(c, answer("of GET"))
					}
				}
			}()
		}
	}()
	p, err := proxy.New(none{}, []proxy.Model{{Name: "m", URL: "http://" + l.Addr().String()}}, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	for range 100 {
		for _, method := range []string{"HEAD", "GET", "GET"} {
			if got, err := ask(t, front.URL, method, "/", nil, nil); err != nil || !strings.HasPrefix(got, "200") || method == "GET" && !strings.Contains(got, "of GET") {
				t.Fatalf("%s: %v %q", method, err, got)
			}
		}
	}
	if n := again.Load(); n > 0 {
		t.Errorf("%d requests came over a connection that a body may still come over", n)
	}
}

// No client chooses where a request goes, nor a spelling of an inference that is not
// judged.
func TestNowhereElse(t *testing.T) {
	var hosts []string
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts = append(hosts, r.Host)
		w.Header().Set("Location", "http://elsewhere.example/")
		w.WriteHeader(http.StatusFound)
	}))
	t.Cleanup(up.Close)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a client chose the server") }))
	t.Cleanup(other.Close)
	p, err := proxy.New(none{}, []proxy.Model{{Name: "m", URL: up.URL, Policy: proxy.Block, Closed: true}}, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	where := strings.TrimPrefix(other.URL, "http://")
	for _, target := range []string{other.URL + "/x", "//" + where + "/x", "/" + other.URL, "/@" + where, "/..//" + where} {
		got, err := ask(t, front.URL, "GET", target, http.Header{"X-Forwarded-Host": {where}, "Forwarded": {"host=" + where}}, nil)
		if err != nil || !strings.HasPrefix(got, "302") {
			t.Errorf("%s: %v %s", target, err, got)
		}
	}
	if slices.ContainsFunc(hosts, func(h string) bool { return h != strings.TrimPrefix(up.URL, "http://") }) {
		t.Errorf("hosts %v", hosts)
	}
	n := len(hosts)
	for _, target := range []string{"/v2/models/m/infer", "/v2//models/m/infer/", "/v2/models/m/%69nfer", "/v2/models/x/../m/infer", "/v2/models/m/versions/3/infer", "/V2/../v2/models/m/infer",
		"/v1/models/m:predict", "/v1/models/m:explain", "/v2/models/m/generate", "/v2/models/m/versions/1/generate_stream", "http://x/v2/models/m/infer",
		"/v2/models/m/infer_stream", "/v2/models/m/versions/1/infer_stream", "/v2/models/m/infer%5Fstream/", "/v2/models/m/versions//infer_stream", "/v2/models/m/%2569nfer", "/v2/models/%256d/infer",
		"/v2/models/m", "/v2/models/m/", "/v2/models/m/stats", "/v2/models/m/anything/of/theirs", "/v1/models/m", "/v1/models/m/versions/1:predict", "/v1/models/m/labels/stable:classify", "/v2/models/m%2Finfer",
		"/invocations", "/predictions/m", "/openai/v1/chat/completions", "/", "/V2/models/m/infer"} {
		for _, method := range []string{"POST", "PUT", "REPORT"} {
			got, err := ask(t, front.URL, method, target, nil, []byte(`{"inputs": []}`))
			if err != nil || strings.HasPrefix(got, "302") || len(hosts) != n {
				t.Errorf("%s %s went around: %v %s", method, target, err, got)
				n = len(hosts)
			}
		}
	}
	for _, target := range []string{"/v2/models/m/generate", "/v2/models/m/infer_stream"} { // for who takes any method
		if got, err := ask(t, front.URL, "GET", target, nil, nil); err != nil || !strings.HasPrefix(got, "403") {
			t.Errorf("%s went around: %v %s", target, err, got)
		}
	}
	if got, err := ask(t, front.URL, "GET", "/v2/models/m/theirs", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, nil); err != nil || !strings.HasPrefix(got, "403") {
		t.Errorf("another protocol went around: %v %s", err, got)
	}
}

// What is no inference passes also where the guard is closed.
func TestClosedPasses(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(up.Close)
	p, err := proxy.New(none{}, []proxy.Model{{Name: "m", URL: up.URL, Policy: proxy.Block, Closed: true}}, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	for _, target := range []string{"GET /", "GET /v2/models/m", "HEAD /v2/models/m/ready", "GET /v2/models/m/versions/1/config", "OPTIONS /v2/models/m/infer", "GET /metrics", "POST /v2/repository/index",
		"POST /v2/repository/models/m/load", "POST /v2/systemsharedmemory/region/r/register", "POST /v2/cudasharedmemory/unregister", "POST /v2/logging", "POST /v2/trace/setting", "POST /v2/models/m/trace/setting",
		"POST /v2/models/other/infer", "POST /v2/models/other/generate", "POST /v1/models/other:predict"} {
		method, path, _ := strings.Cut(target, " ")
		want, err := ask(t, up.URL, method, path, nil, []byte("body"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ask(t, front.URL, method, path, nil, []byte("body")); err != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", target, err, got, want)
		}
	}
}

// Parameters are added to any object of JSON, which is otherwise as it was.
func FuzzSplice(f *testing.F) {
	for _, text := range []string{`{}`, `{"a": 1.50}`, `{"parameters": {}}`, ` {"parameters" : { "a":[1,{}]} , "outputs":[] } `, `{"parameters":null}`, `{"a":{"parameters":{}}}`, `{"parameters":1,"parameters":{"b":2}}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := proxy.Splice([]byte(text))
		var before, after map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &before) != nil || before == nil {
			if err == nil && !json.Valid(got) {
				t.Errorf("%q became %q", text, got)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%q became %q: %v", text, got, err)
		}
		var was, is map[string]json.RawMessage
		_ = json.Unmarshal(before["parameters"], &was) // it may be anything
		if err := json.Unmarshal(after["parameters"], &is); err != nil || string(is["vaeguard_verdict"]) != `"v"` {
			t.Errorf("%q became %q: %v", text, got, err)
		}
		for name, v := range was {
			if name != "vaeguard_verdict" && !bytes.Equal(is[name], v) {
				t.Errorf("%q became %q: %s", text, got, name)
			}
		}
		delete(before, "parameters")
		for name, v := range before {
			if !bytes.Equal(after[name], v) {
				t.Errorf("%q became %q: %s", text, got, name)
			}
		}
	})
}
