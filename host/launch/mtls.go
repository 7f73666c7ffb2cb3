package launch

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"
)

// What go-plugin tells a plugin by its environment.
const (
	clientCertEnv = "PLUGIN_CLIENT_CERT"     // the host's certificate, of AutoMTLS
	socketDirEnv  = "PLUGIN_UNIX_SOCKET_DIR" // where its sockets belong, a folder of each process
)

// mutualTLS is what go-plugin's AutoMTLS does, for one start of one plugin: a
// fresh certificate of the host, which the plugin is given by environment and
// answers in its handshake with its own. go-plugin makes a P-521 key, which
// Python's gRPC cannot verify since it is built on BoringSSL; P-256 suits
// everybody, and is made sooner.
func mutualTLS() (*tls.Config, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, "", err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "localhost", Organization: []string{"vaeguard"}},
		DNSNames:              []string{"localhost"},
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		SerialNumber:          serial,
		NotBefore:             time.Now().Add(-time.Minute), // clocks step
		NotAfter:              time.Now().AddDate(30, 0, 0), // a plugin may run as long as its host
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, "", err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:      x509.NewCertPool(), // none, until the handshake names one
		ServerName:   "localhost",
		MinVersion:   tls.VersionTLS12,
	}
	return config, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}
