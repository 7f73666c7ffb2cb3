package serve

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// tokens are secrets, one of which callers must name, and which a reload may change; none let anybody in.
type tokens struct{ sums atomic.Pointer[[]sum] }

type sum = [sha256.Size]byte

func (t *tokens) set(secrets ...string) {
	var sums []sum
	for _, s := range secrets {
		if s != "" {
			sums = append(sums, sha256.Sum256([]byte(s)))
		}
	}
	t.sums.Store(&sums)
}

// given reports whether there are any, which does not change.
func (t *tokens) given() bool {
	sums := t.sums.Load()
	return sums != nil && len(*sums) > 0
}

// allows compares in a time that does not tell how much of a guess is right.
func (t *tokens) allows(authorization string) bool {
	if !t.given() {
		return true
	}
	scheme, given, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return false
	}
	found, b := 0, sha256.Sum256([]byte(strings.TrimSpace(given)))
	for _, a := range *t.sums.Load() {
		found |= subtle.ConstantTimeCompare(a[:], b[:])
	}
	return found == 1
}

// password is what a browser sends that was asked for a name and a password, as a bearer token: the password is the token, and the name any.
func password(r *http.Request) (authorization string) {
	if _, p, ok := r.BasicAuth(); ok {
		return "Bearer " + p
	}
	return r.Header.Get("Authorization")
}

// bearer is how programs show a token.
func bearer(r *http.Request) (authorization string) { return r.Header.Get("Authorization") }

// maxTokens is the most bytes of a file of tokens.
const maxTokens = 64 << 10

// readTokens are those of a file, one a line.
func readTokens(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTokens+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxTokens {
		return nil, fmt.Errorf("%s has more than %d bytes", file, maxTokens)
	}
	var out []string
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, fmt.Errorf("%s:%d: a token of more than letters, digits and signs of ASCII", file, i+1)
		}
		if line != "" {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no token", file)
	}
	return out, nil
}

// secrets are the tokens of clients and of administrators.
func (s *Spec) secrets() (clients, admins []string, err error) {
	clients, admins = []string{s.Auth.Bearer}, []string{s.Auth.Admin}
	if file := s.Auth.BearerFile; file != "" {
		if clients, err = readTokens(s.Abs(file)); err != nil {
			return nil, nil, fmt.Errorf("auth.bearer_file: %w", err)
		}
	}
	if file := s.Auth.AdminFile; file != "" {
		if admins, err = readTokens(s.Abs(file)); err != nil {
			return nil, nil, fmt.Errorf("auth.admin_file: %w", err)
		}
	}
	for _, a := range admins {
		if a != "" && slices.Contains(clients, a) {
			return nil, nil, errors.New("auth: a token of clients is one of administrators")
		}
	}
	return clients, admins, nil
}

// renewTokens reads the tokens of a spec. After an error the former ones stay.
func (s *Server) renewTokens(of *Spec) error {
	clients, admins, err := of.secrets()
	if err != nil {
		return err
	}
	s.bearer.set(clients...)
	s.admin.set(admins...)
	return nil
}

// healthPath reports whether a path tells no more than that the server is up:
// probes have no tokens.
func healthPath(path string) bool {
	return path == "/v2/health/live" || path == "/v2/health/ready"
}

// healthMethod is healthPath for gRPC.
func healthMethod(method string) bool {
	name, health := strings.CutPrefix(method, "/grpc.health.v1.Health/")
	return health && !strings.ContainsFunc(name, func(r rune) bool { return !nameRune(r) || r == '.' }) ||
		method == "/inference.GRPCInferenceService/ServerLive" || method == "/inference.GRPCInferenceService/ServerReady"
}

// shown is how callers show a token, with the challenges of who shows none.
type shown struct {
	of         func(*http.Request) (authorization string)
	challenges []string
}

var (
	asBearer = shown{bearer, []string{`Bearer realm="vaeguard"`}}
	// basic is also for browsers, whose pages and streams of events cannot show a bearer token.
	basic = shown{password, []string{`Basic realm="vaeguard: any name, and the token as password", charset="UTF-8"`, `Bearer realm="vaeguard"`}}
)

// guard lets only callers with a token through.
func (t *tokens) guard(how shown, h http.Handler) http.Handler {
	if !t.given() {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !t.allows(how.of(r)) && (!healthPath(r.URL.Path) || r.Header.Get("Upgrade") != "") { // what would follow is no probe
			w.Header()["Www-Authenticate"] = how.challenges
			refuse(w, http.StatusUnauthorized, "a bearer token is needed")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// admit is guard for a gRPC call.
func (t *tokens) admit(ctx context.Context, method string) error {
	if !t.given() || healthMethod(method) {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for _, v := range md.Get("authorization") {
		if t.allows(v) {
			return nil
		}
	}
	return status.Error(codes.Unauthenticated, "a bearer token is needed")
}

// clientKey has the name of a caller by its certificate.
type clientKey struct{}

// Client is who asks: the name of the certificate that it has shown, else peer. It
// is what ways in put into judge.Request.Client.
func Client(ctx context.Context, from string) string {
	if name, ok := ctx.Value(clientKey{}).(string); ok {
		return name
	}
	if p, ok := peer.FromContext(ctx); ok {
		if t, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(t.State.PeerCertificates) > 0 {
			return "cert:" + t.State.PeerCertificates[0].Subject.String()
		}
	}
	return from
}

// named puts the name of a caller's certificate into the context.
func named(r *http.Request) *http.Request {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), clientKey{}, "cert:"+r.TLS.PeerCertificates[0].Subject.String()))
}

// hostOf is an address without its port.
func hostOf(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}
