package serve

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// token is a secret that callers must name; "" lets anybody in.
type token string

// allows compares in a time that does not tell how much of a guess is right.
func (t token) allows(authorization string) bool {
	if t == "" {
		return true
	}
	scheme, given, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return false
	}
	a, b := sha256.Sum256([]byte(t)), sha256.Sum256([]byte(strings.TrimSpace(given)))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// healthPath reports whether a path tells no more than that the server is up:
// probes have no tokens.
func healthPath(path string) bool {
	return path == "/v2/health/live" || path == "/v2/health/ready"
}

// healthMethod is healthPath for gRPC.
func healthMethod(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.v1.Health/") ||
		method == "/inference.GRPCInferenceService/ServerLive" || method == "/inference.GRPCInferenceService/ServerReady"
}

// guard lets only callers with the token through.
func (t token) guard(h http.Handler) http.Handler {
	if t == "" {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !t.allows(r.Header.Get("Authorization")) && !healthPath(r.URL.Path) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="vaeguard"`)
			refuse(w, http.StatusUnauthorized, "a bearer token is needed")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// admit is guard for a gRPC call.
func (t token) admit(ctx context.Context, method string) error {
	if t == "" || healthMethod(method) {
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
