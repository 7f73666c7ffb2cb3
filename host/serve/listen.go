package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// listen opens an address. The socket of a server that was killed makes room; one
// that a living server has does not.
func listen(ctx context.Context, at string) (net.Listener, error) {
	path, unix := strings.CutPrefix(at, "unix:")
	if !unix {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", at)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
		if err == nil {
			return nil, errors.Join(fmt.Errorf("listen unix %s: somebody listens there", path), c.Close())
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return (&net.ListenConfig{}).Listen(ctx, "unix", path)
}

// certificates are what files say of them, as they were when they were last whole.
type certificates struct {
	cert, key, clientCA string
	now                 atomic.Pointer[tls.Config]
}

// loadCertificates reads the files of a section.
func loadCertificates(t TLS, abs func(string) string) (*certificates, error) {
	c := &certificates{cert: abs(t.Cert), key: abs(t.Key), clientCA: abs(t.ClientCA)}
	return c, c.reload()
}

// reload reads the files again. After an error the former ones stay.
func (c *certificates) reload() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if c.clientCA != "" {
		pem, err := os.ReadFile(c.clientCA)
		if err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		conf.ClientCAs, conf.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !conf.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("tls: %s has no certificate", c.clientCA)
		}
	}
	c.now.Store(conf)
	return nil
}

// files are what is worth watching.
func (c *certificates) files() []string {
	if c == nil {
		return nil
	}
	files := []string{c.cert, c.key}
	if c.clientCA != "" {
		files = append(files, c.clientCA)
	}
	return files
}

// config is for a listener: each connection gets what is there when it comes.
func (c *certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.now.Load(), nil }}
}
