package serve_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// Tokens of clients and of administrators, on both protocols; probes need none.
func TestTokens(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	t.Setenv("TOKEN", "clients-token")
	t.Setenv("ADMIN", "admins-token")
	s := run(t, dir, "listen: {http: '127.0.0.1:0', grpc: '127.0.0.1:0', admin: '127.0.0.1:0', pprof: true}\nmodels: [{name: small, detector: guard}]\nauth: {bearer: '${TOKEN}', admin: '${ADMIN}'}\n")
	for _, c := range []struct {
		listener, path, token string
		want                  int
	}{
		{"http", "/v2/models/small", "", 401},
		{"http", "/v2/models/small", "Bearer clients-toke", 401},
		{"http", "/v2/models/small", "Basic clients-token", 401},
		{"http", "/v2/models/small", "Bearer admins-token", 401},
		{"http", "/v2/models/small", "bearer clients-token", 200},
		{"http", "/v2/health/ready", "", 200},
		{"admin", "/livez", "", 200},
		{"admin", "/readyz", "", 200},
		{"admin", "/v2/models/small", "", 401},
		{"admin", "/debug/pprof/", "", 401},
		{"admin", "/debug/pprof/", "Bearer clients-token", 401},
		{"admin", "/debug/pprof/", "Bearer admins-token", 200},
	} {
		if code, text := s.get(c.listener, c.path, "Authorization", c.token); code != c.want {
			t.Errorf("%s%s with %q: %d %s, want %d", c.listener, c.path, c.token, code, text, c.want)
		}
	}
	conn, err := grpc.NewClient(s.Address("grpc").String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ask := func(token string) codes.Code {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", token)
		return status.Code(conn.Invoke(ctx, "/inference.GRPCInferenceService/ModelReady", &inference.ModelReadyRequest{Name: "small"}, &inference.ModelReadyResponse{}))
	}
	if code := ask("Bearer nobody"); code != codes.Unauthenticated {
		t.Errorf("gRPC with a wrong token: %v", code)
	}
	if code := ask("Bearer clients-token"); code != codes.OK {
		t.Errorf("gRPC with the token: %v", code)
	}
	if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("a probe: %v", err)
	}
	if text := s.log.String() + s.access.String(); strings.Contains(text, "token") && strings.Contains(text, "clients-token") {
		t.Error("a token is in a log")
	}
}

// Without a token, an admin that others can reach shows health alone.
func TestOpenAdmin(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	s := run(t, dir, "listen: {http: '127.0.0.1:0', admin: '0.0.0.0:0', pprof: true}\nmodels: [{name: small, detector: guard}]\n")
	port := s.Address("admin").(*net.TCPAddr).Port
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/debug/pprof/": 403, "/v2/models/small": 403, "/reload": 403} {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	if !strings.Contains(s.log.String(), "open to other machines") {
		t.Error("nobody is warned")
	}
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = a.issue(t, "authority")
	return a
}

// issue makes a certificate, by itself where the authority is new.
func (a *authority) issue(t *testing.T, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: a.cert == nil, BasicConstraintsValid: true}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file+".next", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".next", file); err != nil {
		t.Fatal(err)
	}
}

// Clients show certificates, and are known by them; the server's own is read again
// when its file changes, and a broken one changes nothing.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	a := newAuthority(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	renew := func(name string) {
		cert, key := a.issue(t, name)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		writePEM(t, at("cert.pem"), "CERTIFICATE", cert.Raw)
		writePEM(t, at("key.pem"), "PRIVATE KEY", der)
	}
	renew("first")
	writePEM(t, at("ca.pem"), "CERTIFICATE", a.cert.Raw)
	s := run(t, dir, "listen: {http: '127.0.0.1:0', tls: {cert: cert.pem, key: key.pem, client_ca: ca.pem}}\nmodels: [{name: small, detector: guard}]\n")
	cert, key := a.issue(t, "some client")
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	ask := func(shown ...tls.Certificate) (server string, err error) {
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: shown}}}
		resp, err := c.Post("https://"+s.Address("http").String()+"/judge/small", "application/json", strings.NewReader(body(1, 1)))
		if err != nil {
			return "", err
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return "", fmt.Errorf("%d %s", resp.StatusCode, b)
		}
		return resp.TLS.PeerCertificates[0].Subject.CommonName, nil
	}
	mine := tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
	if server, err := ask(mine); err != nil || server != "first" {
		t.Errorf("%q, %v", server, err)
	}
	if _, err := ask(); err == nil {
		t.Error("a client without a certificate is served")
	}
	if !strings.Contains(s.access.String(), "cert:CN=some client") {
		t.Errorf("the client is not known by its certificate: %s", s.access.String())
	}
	writePEM(t, at("cert.pem"), "CERTIFICATE", []byte("none"))
	await(t, "a refusal", func() bool { return strings.Contains(s.log.String(), "certificates were refused") })
	if server, err := ask(mine); err != nil || server != "first" {
		t.Errorf("after a broken one: %q, %v", server, err)
	}
	renew("second")
	await(t, "the new certificate", func() bool { server, err := ask(mine); return err == nil && server == "second" })
}

// A socket of a server that is gone makes room, one of a living server does not;
// the service manager hears of the server's life.
func TestSocketsAndNotices(t *testing.T) {
	dir, err := os.MkdirTemp("", "vgs") // short: sockets lie in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	heard := make(chan string, 10_000) // of a watchdog too, while the machine is busy
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = manager.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := manager.Read(b)
			if err != nil {
				return
			}
			heard <- string(b[:n])
		}
	}()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "notify"))
	t.Setenv("WATCHDOG_USEC", "200000")
	socket := filepath.Join(dir, "http.sock")
	dead, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	text := "listen: {http: 'unix:" + socket + "'}\nmodels: [{name: small, detector: guard}]\n"
	s := run(t, dir, text)
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	resp, err := c.Get("http://any/v2/health/ready")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	c.CloseIdleConnections()
	second := &running{t: t}
	if err := second.start(dir, text); err == nil || !strings.Contains(err.Error(), "somebody listens there") {
		t.Errorf("a second server: %v", err)
	}
	until := func(what string) {
		t.Helper()
		for {
			select {
			case text := <-heard:
				if strings.HasPrefix(text, what) {
					return
				}
			case <-time.After(time.Minute):
				t.Fatalf("nobody hears %s", what)
			}
		}
	}
	until("READY=1")
	until("WATCHDOG=1")
	until("WATCHDOG=1")
	if err := s.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	until("RELOADING=1\nMONOTONIC_USEC=")
	until("READY=1")
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	until("STOPPING=1")
}

// Versions go by their numbers, where they have any.
func TestVersions(t *testing.T) {
	got := []string{"2", "v10", "1.10", "1.9", "latest", "1", "1.9.1", "2024-01"}
	slices.SortFunc(got, serve.Higher)
	want := []string{"2024-01", "latest", "1", "1.9", "1.9.1", "1.10", "2", "v10"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
