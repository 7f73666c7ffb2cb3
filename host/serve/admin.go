package serve

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
)

// adminHandler is what administrators and probes see. Without a token, an address
// that others can reach shows health and metrics alone.
func (s *Server) adminHandler() http.Handler {
	open := http.NewServeMux()
	open.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	open.HandleFunc("GET /readyz", s.readyz)
	for _, m := range s.open {
		open.Handle(m.pattern, m.handler)
	}
	inner := http.NewServeMux()
	inner.HandleFunc("POST /reload", s.reloadz)
	if s.spec.Listen.Pprof {
		inner.HandleFunc("GET /debug/pprof/", pprof.Index)
		inner.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		inner.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		inner.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		inner.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
		inner.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	for _, m := range s.inner {
		inner.Handle(m.pattern, m.handler)
	}
	behind := s.admin.guard(basic, s.ends(inner))
	if !s.admin.given() && !loopback(s.spec.Listen.Admin) {
		s.log.Warn("admin is open to other machines and auth.admin has no token: it shows health and metrics alone", "address", s.spec.Listen.Admin)
		behind = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusForbidden, "auth.admin has no token, and others than this machine can come here: only /livez, /readyz and /metrics are shown")
		})
	}
	open.Handle("/", s.fromHere(behind))
	return open
}

// fromHere refuses what a page of another site makes somebody's browser ask: what changes something, by where the browser
// says that it comes from (whose password it would add by itself), and, where being on this machine is all that lets one in,
// all that is not for a name of this machine, since the page's own name may have been given this machine's address.
func (s *Server) fromHere(h http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, "a page of another site may not ask for this")
	}))
	h = cross.Handler(h)
	at := s.spec.Listen.Admin
	if s.admin.given() || !loopback(at) || strings.HasPrefix(at, "unix:") { // which no browser reaches
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(net.JoinHostPort(strings.Trim(strings.ToLower(hostOf(r.Host)), "[]"), "0")) {
			refuse(w, http.StatusForbidden, "admin has no token, so it is for this machine alone, by the name localhost or a loopback address")
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	ready, why := s.Ready()
	code := http.StatusOK
	if !ready {
		code = http.StatusServiceUnavailable
	}
	// Why a model is not ready may name files: it is in the log.
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"ready": ready, "unready": len(why)})
}

// reloadz does what SIGHUP does, and says what was refused.
func (s *Server) reloadz(w http.ResponseWriter, r *http.Request) {
	if err := s.Reload(r.Context()); err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{}\n"))
}
