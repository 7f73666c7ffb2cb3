package serve_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// metadataOf asks for a model's metadata over a connection.
func metadataOf(t *testing.T, c *grpc.ClientConn, token string) error {
	t.Helper()
	ctx := t.Context()
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	return c.Invoke(ctx, inference.ModelMetadata, &inference.ModelMetadataRequest{Name: "small"}, &inference.ModelMetadataResponse{})
}

// Files of tokens change while the server runs: who has one that is gone is refused from then on, over a connection that there
// is too. Files without a token, with one of the others, or none, are refused, and the tokens stay; none is written anywhere.
func TestTokensReadAgain(t *testing.T) {
	for name, upstream := range map[string]string{"a server of models": "", "a proxy": ", upstream: {url: 'http://127.0.0.1:1', grpc: '127.0.0.1:1'}"} {
		t.Run(name, func(t *testing.T) { testTokens(t, upstream) })
	}
}

func testTokens(t *testing.T, upstream string) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	put := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file+".next", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".next", file); err != nil {
			t.Fatal(err)
		}
	}
	file := func(auth string) string {
		return "listen: {http: '127.0.0.1:0', grpc: '127.0.0.1:0', admin: '127.0.0.1:0'}\nmodels: [{name: small, detector: guard" + upstream + "}]\nauth: " + auth + "\n"
	}
	const both = "{bearer_file: clients, admin_file: admins}"
	put("clients", "clients-1\n")
	put("admins", "\n  admins-1\r\n")
	s := run(t, dir, file(both))
	c, err := grpc.NewClient(s.Address("grpc").String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	refused := func(token string) (out [3]bool) { // over HTTP, gRPC and by admin
		code, _ := s.get("http", "/v2/models/small", "Authorization", "Bearer clients-"+token)
		out[0] = code == http.StatusUnauthorized
		out[1] = status.Code(metadataOf(t, c, "clients-"+token)) == codes.Unauthenticated
		code, _ = s.get("admin", "/v2/models/small", "Authorization", "Bearer admins-"+token)
		out[2] = code == http.StatusUnauthorized
		return out
	}
	hold := func(when string, good ...string) {
		t.Helper()
		for _, token := range []string{"1", "2", "3", "4", ""} {
			want := !slices.Contains(good, token)
			if got := refused(token); got != [3]bool{want, want, want} {
				t.Errorf("%s: token %q is refused %v, want %v", when, token, got, want)
			}
		}
	}
	hold("at first", "1")
	for name, c := range map[string]struct{ clients, admins, auth, want string }{
		"no tokens":                {"", "admins-2", both, "no token"},
		"blanks":                   {"clients-2", " \n\n", both, "no token"},
		"a token of the others'":   {"clients-2", "admins-2\nclients-2", both, "one of administrators"},
		"two words":                {"clients-2 clients-3", "admins-2", both, "clients:1: "},
		"no file":                  {"clients-2", "admins-2", "{bearer_file: nowhere, admin_file: admins}", "nowhere"},
		"a token more":             {"clients-2", "admins-2", "{bearer_file: clients, admin_file: admins, bearer: '${VG_TEST_TOKEN}'}", "want one of them"},
		"clients need none":        {"clients-2", "admins-2", "{admin_file: admins}", "auth.bearer: comes or goes"},
		"admins need none":         {"clients-2", "admins-2", "{bearer_file: clients}", "auth.admin: comes or goes"},
		"a file with other faults": {"clients-2", "admins-2", "{bearer_file: clients, admin_file: admins, more: 1}", "more"},
	} {
		t.Setenv("VG_TEST_TOKEN", "clients-4")
		// No look at the files comes in between: what is refused at once must not be taken a little later either.
		put("clients", "clients-1")
		put("admins", "admins-1")
		bad := name == "no tokens" || name == "blanks" || strings.HasPrefix(name, "a token of") || name == "two words"
		if bad {
			put("clients", c.clients)
			put("admins", c.admins)
		}
		rewrite(t, dir, file(c.auth))
		if err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "clients-") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		hold(name, "1")
	}
	rewrite(t, dir, file(both))
	put("clients", "clients-1\nclients-2\n")
	put("admins", "admins-1\nadmins-2\n")
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	hold("while they change", "1", "2")
	put("clients", "clients-2")
	put("admins", "admins-2")
	await(t, "the files are seen", func() bool { return refused("1") == [3]bool{true, true, true} })
	hold("changed, and no reload asked for", "2")
	put("clients", "clients-3")
	put("admins", "admins-3")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url("admin", "/reload"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer admins-2")
	if a, err := http.DefaultClient.Do(r); err != nil {
		t.Error(err)
	} else {
		_ = a.Body.Close() // the files may have been seen before
	}
	await(t, "the third", func() bool { return refused("3") == [3]bool{} })
	hold("changed by admin", "3")
	for _, word := range []string{"clients-", "admins-"} {
		if text := s.log.String() + s.access.String(); strings.Contains(text, word) {
			t.Errorf("a token is in the log: %s", text)
		}
	}
}

// A reload reads certificates and the clients' authority again, over HTTP and gRPC: who is signed by the one before is let
// in no more, not by a session of before either; connections that there are stay. What does not fit together is refused.
func TestCertificatesReadAgain(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	at := func(name string) string { return filepath.Join(dir, name) }
	servers, before, after := newAuthority(t), newAuthority(t), newAuthority(t)
	write := func(cert *x509.Certificate, key *ecdsa.PrivateKey, ca ...*x509.Certificate) {
		t.Helper()
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		writePEM(t, at("cert.pem"), "CERTIFICATE", cert.Raw)
		writePEM(t, at("key.pem"), "PRIVATE KEY", der)
		for _, c := range ca {
			writePEM(t, at("ca.pem"), "CERTIFICATE", c.Raw)
		}
	}
	first, firstKey := servers.issue(t, "first")
	write(first, firstKey, before.cert)
	s := run(t, dir, "listen: {http: '127.0.0.1:0', grpc: '127.0.0.1:0', admin: '127.0.0.1:0', tls: {cert: cert.pem, key: key.pem, client_ca: ca.pem, admin: true}}\nmodels: [{name: small, detector: guard}]\n")
	pool := x509.NewCertPool()
	pool.AddCert(servers.cert)
	client := func(a *authority) *tls.Config {
		cert, key := a.issue(t, "a client")
		return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, ClientSessionCache: tls.NewLRUClientSessionCache(10)}
	}
	over := func(conf *tls.Config) *http.Client {
		return &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}
	}
	get := func(c *http.Client, listener, path string) (server string, resumed bool, err error) {
		a, err := c.Get("https://" + s.Address(listener).String() + path)
		if err != nil {
			return "", false, err
		}
		_, err = io.Copy(io.Discard, a.Body)
		_ = a.Body.Close()
		if a.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, a.Status)
		}
		return a.TLS.PeerCertificates[0].Subject.CommonName, a.TLS.DidResume, err
	}
	call := func(conf *tls.Config) (*grpc.ClientConn, error) {
		c, err := grpc.NewClient(s.Address("grpc").String(), grpc.WithTransportCredentials(credentials.NewTLS(conf)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c, metadataOf(t, c, "")
	}
	old, young := client(before), client(after)
	hold := func(when, server string, in, out *tls.Config) {
		t.Helper()
		for _, listener := range []string{"http", "admin"} {
			c := over(in)
			got, _, err := get(c, listener, "/v2/models/small")
			if err != nil || got != server {
				t.Errorf("%s: %s: the server is %s, %v, want %s", when, listener, got, err, server)
			}
			c.CloseIdleConnections()
			if _, _, err := get(over(out), listener, "/v2/models/small"); err == nil {
				t.Errorf("%s: %s: a client of another authority is let in", when, listener)
			}
		}
		if _, err := call(in); err != nil {
			t.Errorf("%s: gRPC: %v", when, err)
		}
		if _, err := call(out); err == nil {
			t.Errorf("%s: gRPC: a client of another authority is let in", when)
		}
	}
	hold("at first", "first", old, young)
	resume := func() { // until the session that is kept is one of HTTP's
		t.Helper()
		for range 5 {
			if _, resumed, err := get(over(old), "http", "/v2/models/small"); err != nil {
				t.Fatal(err)
			} else if resumed {
				return
			}
		}
		t.Fatal("sessions are not resumed, so that this shows nothing of them")
	}
	open := over(old)
	if _, _, err := get(open, "http", "/v2/models/small"); err != nil {
		t.Fatal(err)
	}
	c, err := call(old)
	if err != nil {
		t.Fatal(err)
	}
	second, secondKey := servers.issue(t, "second")
	for name, broken := range map[string]func(){
		"another's key":            func() { write(second, firstKey) },
		"no certificate":           func() { writePEM(t, at("cert.pem"), "CERTIFICATE", []byte("none")) },
		"no file":                  func() { _ = os.Remove(at("key.pem")) },
		"no authority":             func() { _ = os.WriteFile(at("ca.pem"), []byte("none"), 0o600) },
		"no file of the authority": func() { _ = os.Remove(at("ca.pem")) },
	} {
		write(first, firstKey, before.cert)
		if err := s.Reload(context.Background()); err != nil {
			t.Fatalf("%s: before it: %v", name, err)
		}
		broken()
		if err := s.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "tls: ") {
			t.Errorf("%s: %v", name, err)
		}
		hold(name, "first", old, young)
	}
	resume()
	write(second, secondKey, after.cert)
	if err := s.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(over(old), "http", "/v2/models/small"); err == nil {
		t.Error("a session of before lets a client of the authority before in")
	}
	hold("changed", "second", young, old)
	if _, _, err := get(open, "http", "/v2/models/small"); err != nil {
		t.Errorf("a connection that there was: %v", err)
	}
	if err := metadataOf(t, c, ""); err != nil {
		t.Errorf("a connection of gRPC that there was: %v", err)
	}
}
