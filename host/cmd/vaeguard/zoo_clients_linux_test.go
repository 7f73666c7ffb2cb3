package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/remote"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// honest is the member of the zoo that means no harm: a plugin by the SDK, for clients
// that do.
const honest = "honest"

// trainee is a Fake that can be trained, to no effect.
type trainee struct{ *sdktest.Fake }

func (t trainee) Fit(ctx context.Context, _ sdk.TrainingData, _ sdk.FitOptions) (sdk.FitDone, error) {
	i, err := t.Info(ctx)
	return sdk.FitDone{ConfigJSON: []byte("{}"), Digest: i.Digest}, err
}

// Schema makes the config one that is read.
func (trainee) Schema() []byte { return []byte(`{"type": "object"}`) }

// Configure takes any.
func (trainee) Configure(context.Context, sdk.Config) error { return nil }

func serveHonest() {
	sdk.Serve(trainee{&sdktest.Fake{Shape: tensor.Shape{64}, Classes: 10, Seed: 1}})
}

// client is one that means harm, and a part of what it is told.
type client struct {
	kind, what string
	want       string // "": it is told nothing
	attack     func(ctx context.Context, d *door) error
}

// door is a plugin's socket, and the keys to it.
type door struct {
	path   string
	client tls.Certificate
	server *x509.CertPool
	rpc    *remote.Client
	conn   *grpc.ClientConn
}

func (d *door) config() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{d.client}, RootCAs: d.server, ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

// dial connects with a configuration; nil: without TLS.
func (d *door) dial(c *tls.Config) (*grpc.ClientConn, error) {
	keys := insecure.NewCredentials()
	if c != nil {
		keys = credentials.NewTLS(c)
	}
	return grpc.NewClient("unix:"+d.path, append(remote.DialOptions(), grpc.WithTransportCredentials(keys))...)
}

// knock shakes hands, and waits for what the plugin says to that.
func (d *door) knock(c *tls.Config) error {
	under, err := d.raw()
	if err != nil {
		return err
	}
	defer under.Close()
	c.NextProtos = []string{"h2"}
	conn := tls.Client(under, c)
	_ = conn.SetDeadline(time.Now().Add(clientSeconds * time.Second))
	if err := conn.Handshake(); err != nil {
		return err
	}
	// A server of TLS 1.3 judges the client's certificate after the client is done; one that
	// is content sends its settings.
	_, err = conn.Read(make([]byte, 1))
	return err
}

// raw connects to the socket.
func (d *door) raw() (net.Conn, error) { return net.Dial("unix", d.path) }

// certificate makes a key and a certificate signed by itself.
func certificate(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// openDoor starts the honest plugin as a host would, and connects to it.
func openDoor(t *testing.T) (*door, *program) {
	t.Helper()
	w := newWorld(t, nil)
	d := &door{}
	var text []byte
	d.client, text = certificate(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{Cmd: exec.Command(exe, inZoo, honest), ended: make(chan error, 1)}
	p.Env = []string{"VAEGUARD_PLUGIN=classifier", "PLUGIN_PROTOCOL_VERSIONS=1", "PLUGIN_UNIX_SOCKET_DIR=" + w.dir, "PLUGIN_CLIENT_CERT=" + string(text), markName + "=" + w.mark}
	p.Stderr = &p.stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	parts := strings.Split(strings.TrimSpace(line), "|")
	if err != nil || len(parts) < 6 {
		t.Fatalf("handshake %q: %v", line, err)
	}
	der, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	d.path, d.server = parts[3], x509.NewCertPool()
	d.server.AddCert(theirs)
	if d.conn, err = d.dial(d.config()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.conn.Close() })
	d.rpc = remote.NewClient(d.conn)
	if _, err := d.rpc.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d, p
}

const (
	clientsBegin = "<!-- hostile clients: written by TestHostileClients -update -->\n"
	clientsEnd   = "<!-- end of hostile clients -->\n"
	// What a plugin may take for a client: its own are some 50 MiB.
	clientMiB     = 224
	clientSeconds = 60
)

// TestHostileClients lets clients that mean harm meet a plugin by the SDK, a process of its
// own each: it refuses them by the cause, within a budget, and answers its host afterwards as before.
func TestHostileClients(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a plugin for each of many clients")
	}
	var page strings.Builder
	page.WriteString("\n| kind | client | the plugin says |\n|---|---|---|\n")
	kinds := map[string]int{}
	x := tensor.Batch(1, tensor.Shape{64})
	for _, c := range clients(t) {
		kinds[c.kind]++
		says := cell(c.want)
		if says == "" {
			says = "*nothing*"
		}
		fmt.Fprintf(&page, "| %s | %s | %s |\n", c.kind, cell(c.what), says)
		t.Run(c.kind+"/"+c.what, func(t *testing.T) {
			t.Parallel()
			d, p := openDoor(t)
			before, err := d.rpc.Predict(t.Context(), x)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), clientSeconds*time.Second)
			defer cancel()
			began := time.Now()
			err = c.attack(ctx, d)
			took := time.Since(began)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%.2000v, want %q", err, c.want)
			}
			if took > clientSeconds*time.Second {
				t.Errorf("it took %v", took)
			}
			after, err := d.rpc.Predict(ctx, x)
			if err != nil || fmt.Sprint(after.Data) != fmt.Sprint(before.Data) {
				t.Errorf("its host gets %v, %v; before %v", after, err, before)
			}
			text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(p.Process.Pid), "status"))
			_, rest, ok := strings.Cut(string(text), "VmHWM:")
			var kib int
			if _, scanned := fmt.Sscan(rest, &kib); err != nil || !ok || scanned != nil {
				t.Fatalf("%v, %v", err, scanned)
			}
			t.Logf("%d MiB, %v", kib>>10, took.Round(time.Millisecond))
			if kib>>10 > clientMiB {
				t.Errorf("the plugin took %d MiB, its budget is %d", kib>>10, clientMiB)
			}
		})
	}
	for kind, n := range kinds {
		if n < 3 {
			t.Errorf("%d members of kind %s, want 3", n, kind)
		}
	}
	page.WriteString("\n")
	rewrite(t, clientsBegin, clientsEnd, page.String(), "TestHostileClients")
}

var errTold = errors.New("told nothing")
