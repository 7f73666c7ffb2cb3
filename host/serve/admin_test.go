package serve_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// ask asks admin, with headers; Host is one of them.
func (s *running) ask(method, path string, header ...string) (int, http.Header) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url("admin", path), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if !strings.HasSuffix(path, "/live") { // which goes on and on
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	return resp.StatusCode, resp.Header
}

// A page of another site that somebody looks at on this machine can neither change anything by its browser, nor read
// anything by a name of its own that has this machine's address.
func TestAdminIsNotForOtherSites(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	s := run(t, dir, listens+"models: [{name: small, detector: guard}]\n")
	const unload, load = "/v2/repository/models/small/unload", "/v2/repository/models/small/load"
	at := s.Address("admin").String()
	_, port, _ := strings.Cut(at, ":")
	for _, c := range []struct {
		method, path string
		header       []string
		want         int
	}{
		{"POST", unload, []string{"Origin", "http://evil.example"}, 403},
		{"POST", unload, []string{"Origin", "null"}, 403},
		{"POST", unload, []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"POST", unload, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"POST", unload, []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"POST", unload, []string{"Host", "evil.example:" + port, "Origin", "http://evil.example:" + port, "Sec-Fetch-Site", "same-origin"}, 403},
		{"POST", "/reload", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"POST", "/reload", []string{"Host", "evil.example"}, 403},
		{"POST", "/reset?model=small", []string{"Host", "evil.example", "X-Vaeguard", "1"}, 403},
		{"GET", "/live", []string{"Host", "evil.example:" + port}, 403},
		{"GET", "/live", []string{"Host", "localhost.evil.example"}, 403},
		{"GET", "/live", []string{"Host", "10.0.0.1:" + port}, 403},
		{"GET", "/", []string{"Host", "evil.example"}, 403},
		{"GET", "/v2/models/small", []string{"Host", "evil.example"}, 403},
		{"GET", "/metrics", []string{"Host", "guard.internal"}, 200}, // names and counts, for whoever scrapes
		{"GET", "/livez", []string{"Host", "guard.internal"}, 200},
		{"GET", "/live", nil, 200},
		{"GET", "/live", []string{"Host", "localhost:" + port}, 200},
		{"GET", "/", []string{"Host", "[::1]:" + port}, 200},
		{"GET", "/", []string{"Host", "LocalHost"}, 200},
		{"POST", "/reload", nil, 200},
		{"POST", "/reload", []string{"Origin", "http://" + at, "Sec-Fetch-Site", "same-origin"}, 200},
		{"POST", load, []string{"Origin", "http://" + at}, 200},
	} {
		if code, _ := s.ask(c.method, c.path, c.header...); code != c.want {
			t.Errorf("%s %s %q: %d, want %d", c.method, c.path, c.header, code, c.want)
		}
	}
	if ok, why := s.Ready(); !ok {
		t.Error(why)
	}
}

// A browser shows admin's token as a password, and is asked for one; what it would add to another site's request by itself
// does not help that.
func TestAdminInABrowser(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	t.Setenv("TOKEN", "clients-token")
	t.Setenv("ADMIN", "admins-token:with a colon")
	s := run(t, dir, "listen: {http: '127.0.0.1:0', admin: '0.0.0.0:0'}\nmodels: [{name: small, detector: guard}]\nauth: {bearer: '${TOKEN}', admin: '${ADMIN}'}\n")
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	const token = "admins-token:with a colon"
	for _, c := range []struct {
		method, path string
		header       []string
		want         int
	}{
		{"GET", "/", nil, 401},
		{"GET", "/live", []string{"Authorization", basic("admin", "clients-token")}, 401},
		{"GET", "/live", []string{"Authorization", basic(token, "")}, 401},
		{"GET", "/live", []string{"Authorization", "Basic " + token}, 401},
		{"GET", "/", []string{"Authorization", basic("admin", token)}, 200},
		{"GET", "/live", []string{"Authorization", basic("", token)}, 200},
		{"GET", "/live", []string{"Authorization", basic("x", token), "Host", "guard.example"}, 200},
		{"GET", "/live", []string{"Authorization", "Bearer " + token}, 200},
		{"POST", "/reset?model=small", []string{"Authorization", basic("x", token), "X-Vaeguard", "1", "Sec-Fetch-Site", "same-origin"}, 204},
		{"POST", "/reload", []string{"Authorization", basic("x", token), "Sec-Fetch-Site", "cross-site"}, 403},
		{"POST", "/reload", []string{"Authorization", basic("x", token), "Origin", "http://evil.example"}, 403},
		{"GET", "/livez", nil, 200},
	} {
		code, h := s.ask(c.method, c.path, c.header...)
		if code != c.want {
			t.Errorf("%s %s %q: %d, want %d", c.method, c.path, c.header, code, c.want)
		}
		if how := strings.Join(h.Values("WWW-Authenticate"), ", "); code == 401 != strings.Contains(how, "Basic realm=") || code == 401 != strings.Contains(how, "Bearer realm=") {
			t.Errorf("%d with the challenges %q", code, how)
		}
	}
	if code, _ := s.get("http", "/v2/models/small", "Authorization", basic("x", "clients-token")); code != 401 {
		t.Errorf("a client with a password: %d", code)
	}
}

// The token that images and manifests take from the environment is none where there is none.
func TestAdminTokenOfTheEnvironment(t *testing.T) {
	const set = "auth.admin=${VAEGUARD_ADMIN:}"
	for _, token := range []string{"", "a-token"} {
		t.Setenv("VAEGUARD_ADMIN", token)
		s, err := serve.ForDetectors([]string{"a"}, []string{set, "limits.linger=5s"}, components())
		if err != nil || s.Auth.Admin != token || time.Duration(s.Limits.Linger) != 5*time.Second {
			t.Errorf("%q: %v", token, err)
		}
	}
	if err := os.Unsetenv("VAEGUARD_ADMIN"); err != nil {
		t.Fatal(err)
	}
	if s, err := serve.ForDetectors([]string{"a"}, []string{set}, components()); err != nil || s.Auth.Admin != "" {
		t.Errorf("without it: %v", err)
	}
	t.Setenv("TOKEN", "")
	for _, set := range []string{"auth.bearer=${TOKEN}", `auth.bearer="${TOKEN}"`} {
		if _, err := serve.ForDetectors([]string{"a"}, []string{set}, components()); err == nil || !strings.Contains(err.Error(), "${TOKEN} is empty") {
			t.Errorf("%s, which is empty: %v", set, err)
		}
	}
	if s, err := serve.Load("deploy/kubernetes/base/server.yaml", nil, components()); err != nil || s.Auth.Admin != "" {
		t.Errorf("the manifests without it: %v", err)
	}
}
