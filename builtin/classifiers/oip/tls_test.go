package oip_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/vaeguard/vaeguard/builtin/classifiers/oip/oiptest"
	"github.com/vaeguard/vaeguard/sdk"
)

// TestTLS speaks to servers whose authority is their own, which want a client's
// certificate and a token.
func TestTLS(t *testing.T) {
	m := &oiptest.Model{Classifier: fake()}
	server := httptest.NewUnstartedServer(m)
	pair, roots := certificate(t)
	secure := &tls.Config{Certificates: []tls.Certificate{pair.tls}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots, MinVersion: tls.VersionTLS12}
	server.TLS = secure
	server.StartTLS()
	defer server.Close()
	rpc := strings.Replace(serveGRPC(t, m, grpc.Creds(credentials.NewTLS(secure))), "grpc:", "grpcs:", 1)
	for _, url := range []string{server.URL, rpc} {
		t.Run(strings.SplitN(url, ":", 2)[0], func(t *testing.T) {
			with := func(o options) sdk.Config {
				c := config(t, url, o)
				c.BaseDir = pair.dir
				return c
			}
			good := options{"ca_file": "ca.pem", "cert_file": "cert.pem", "key_file": "key.pem", "server_name": "models.example.org", "token": secret, "retries": 2}
			x := rows(2, 6)
			same(t, predict(t, must(t, with(good)), x), predict(t, fake(), x))
			for name, want := range map[string]string{
				"ca_file":     "certificate signed by unknown authority",
				"server_name": "doesn't contain any IP SANs",
				"cert_file":   "want a certificate and its key, or neither",
			} {
				o := options{}
				for k, v := range good {
					if k != name {
						o[k] = v
					}
				}
				_, err := configured(t, with(o))
				if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "tries") {
					t.Errorf("without %s: error %v, want %q, and no second try", name, err, want)
				}
			}
			_, err := configured(t, with(options{"ca_file": "key.pem"}))
			if err == nil || !strings.Contains(err.Error(), "/ca_file: key.pem holds no certificate in PEM") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// files are a certificate of its own authority, also on disk.
type files struct {
	tls tls.Certificate
	dir string // with ca.pem, cert.pem and key.pem
}

func certificate(t *testing.T) (files, *x509.CertPool) {
	t.Helper()
	der, key := selfSigned(t)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	f := files{dir: t.TempDir()}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secretKey := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	for name, b := range map[string][]byte{"ca.pem": cert, "cert.pem": cert, "key.pem": secretKey} {
		if err := os.WriteFile(filepath.Join(f.dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if f.tls, err = tls.X509KeyPair(cert, secretKey); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return f, roots
}
