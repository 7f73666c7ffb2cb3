package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel/trace"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/oip"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// lengthHeader is the length of the JSON before binary data.
const lengthHeader = "Inference-Header-Content-Length"

// zeroByte refuses a name that ends, for servers written in C, before it ends: it would be another model here
// than there.
const zeroByte = "there is a zero byte in the name of the model or in the path"

// exchange is one request on its way.
type exchange struct {
	to     *target
	header http.Header // of the answer to the client, as far as it is there
	peer   string
	note   string // why it is not judged
	asked  *asked // nil: it is not judged here
	// of one that is observed
	request, response *tap
	coding, length    string // of the request
	answer            http.Header
	span              trace.SpanContext
	v1                bool // bodies are those of KServe's V1
}

type exchangeKey struct{}

// reverse is what passes requests on.
func (p *Proxy) reverse() httputil.ReverseProxy {
	p.transport = &http.Transport{
		DialContext: (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		DisableCompression: true, // a body is the client's business
	}
	return httputil.ReverseProxy{
		Transport:      traced{p.transport, p.o.Tracer},
		FlushInterval:  -1,
		Rewrite:        p.rewrite,
		ModifyResponse: p.answered,
		ErrorHandler:   p.away,
		ErrorLog:       log.New(p.o.Logger.Named("proxy").StandardWriter(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}), "", 0),
	}
}

// rewrite addresses a request to the server of its model, with its path as it was
// written.
func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	x := r.Out.Context().Value(exchangeKey{}).(*exchange)
	u := r.Out.URL
	u.Scheme, u.Host, r.Out.Host = x.to.url.Scheme, x.to.url.Host, ""
	u.RawQuery, u.ForceQuery = r.In.URL.RawQuery, r.In.URL.ForceQuery
	prefix := strings.TrimSuffix(x.to.url.EscapedPath(), "/")
	raw, _, _ := strings.Cut(r.In.RequestURI, "?")
	if whole := prefix + raw; strings.HasPrefix(raw, "/") && !strings.HasPrefix(whole, "//") {
		u.Opaque = whole
	} else if strings.HasPrefix(r.In.URL.Path, "/") { // two slashes, or the form for proxies: its path alone
		*u = url.URL{Scheme: u.Scheme, Host: u.Host, Path: x.to.url.Path + r.In.URL.Path, RawPath: prefix + r.In.URL.EscapedPath(), RawQuery: u.RawQuery, ForceQuery: u.ForceQuery}
		if prefix == "" {
			u.Path = r.In.URL.Path
		}
	}
	r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
	r.SetXForwarded()
	if p.o.StripAuthorization {
		r.Out.Header.Del("Authorization")
	}
	if x.asked != nil { // its answer is read here
		if text := readable(r.In.Header.Values("Accept-Encoding")); x.to.Policy == Block && text != "" {
			r.Out.Header.Set("Accept-Encoding", text) // and goes on as it is
		} else {
			r.Out.Header.Del("Accept-Encoding")
		}
	}
	// A server that answers HEAD with a body, as Triton does, would else begin the next answer with it.
	r.Out.Close = r.In.Method == http.MethodHead
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.ours(r) {
		p.o.Own.Handler.ServeHTTP(w, r)
		return
	}
	if whole, ok := r.Body.(interface{ Unbounded() io.ReadCloser }); ok {
		r.Body = whole.Unbounded() // what passes has no bound
	}
	if strings.Contains(r.RequestURI, " ") { // as HTTP/2 lets it be: in a line of HTTP/1.1 the path would end there
		p.counts.refused.Add(1)
		p.refuse(w, &refusal{http.StatusBadRequest, "there is a space in the path"})
		return
	}
	if strings.ContainsRune(r.URL.Path, 0) {
		p.counts.refused.Add(1)
		p.refuse(w, &refusal{http.StatusBadRequest, zeroByte})
		return
	}
	r, named, asks := p.asks(r)
	t := named
	if t == nil {
		t = p.models()[0]
	}
	if leadsOut(t, r) {
		p.counts.refused.Add(1)
		p.refuse(w, &refusal{http.StatusBadRequest, "the path leads out of the one that the model's server has"})
		return
	}
	x := &exchange{to: t, header: w.Header(), peer: hostOf(r.RemoteAddr), v1: asks == judged && isV1(r.URL.Path)}
	switch {
	case asks == judged && t.Policy == Observe && p.full():
		p.counts.dropped.Add(1) // it would be, once it was copied
	case asks == judged && t.Policy == Observe:
		x.request = p.tap(r.Body, r.ContentLength)
		x.coding, x.length = seen(r.Header, "Content-Encoding"), seen(r.Header, lengthHeader)
		r.Body = x.request
		x.span = trace.SpanContextFromContext(r.Context())
		defer x.cut()
	case asks == judged:
		if err := p.admit(r.Context(), t, x.peer); err != nil {
			if x.note, err = p.unjudged(t, err); err != nil {
				oip.TurnAway(w, r, func() { p.refuse(w, err) })
				return
			}
			break
		}
		release, err := p.take(x, r)
		defer release()
		if err != nil {
			p.refuse(w, err)
			return
		}
	case asks == beside && p.closed(named), tunnels(r) && p.closed(nil):
		p.counts.refused.Add(1)
		p.refuse(w, &refusal{http.StatusForbidden, "this way of asking a model is not judged, and so refused: use /v2/models/" + t.upstream() + "/infer"})
		return
	default:
		p.counts.passed.Add(1)
	}
	ctx := context.WithValue(r.Context(), exchangeKey{}, x)
	if tunnels(r) {
		p.others.Add(1)
		defer p.others.Done()
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(p.life, cancel)()
	}
	p.rest.ServeHTTP(w, r.WithContext(ctx))
}

// take reads an inference that is judged before it is answered. release is called after
// the answer.
func (p *Proxy) take(x *exchange, r *http.Request) (release func(), _ error) {
	m := &meter{Reader: r.Body, held: &p.held, most: 16 * p.o.MaxBody}
	release = m.release
	body, err := io.ReadAll(io.LimitReader(m, p.o.MaxBody+1))
	rest := r.Body
	switch {
	case err == nil && int64(len(body)) > p.o.MaxBody, errors.Is(err, errHeld):
		err = &overError{p.o.MaxBody}
		r.Body = both{io.MultiReader(bytes.NewReader(body), rest), rest}
	case err != nil:
		return release, &refusal{http.StatusBadRequest, "the body ends early"}
	default:
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r.ContentLength = int64(len(body))
		r.TransferEncoding = nil
		var q tensors.Request
		if q, err = p.parse(x, body, seen(r.Header, "Content-Encoding"), seen(r.Header, lengthHeader)); err == nil {
			x.asked, err = p.read(x.to, q)
		}
	}
	if err != nil {
		x.note, err = p.unjudged(x.to, err)
		return release, err
	}
	return func() {
		x.asked.done()
		m.release()
	}, nil
}

// parse reads a request.
func (p *Proxy) parse(x *exchange, body []byte, coding, length string) (tensors.Request, error) {
	if strings.EqualFold(strings.TrimSpace(coding), "deflate") && !oip.Zlib(body) {
		// Its bytes may be JSON too, for a server that leaves them as they are.
		return tensors.Request{}, &judge.InputError{Err: errors.New("it is compressed by deflate without the header of zlib's format")}
	}
	text, err := oip.Plain(coding, body, p.o.MaxBody)
	if err != nil {
		return tensors.Request{}, &judge.InputError{Err: err}
	}
	if x.v1 {
		q, err := tensors.ParseRequestV1(text, tensors.Limits{})
		if err != nil {
			err = &judge.InputError{Err: err}
		}
		return q, err
	}
	header, err := headerLength(length)
	if err != nil {
		return tensors.Request{}, &judge.InputError{Err: err}
	}
	if header <= int64(len(text)) {
		head := text
		if header >= 0 {
			head = text[:header]
		}
		if err := tensors.CheckMembers(head); err != nil {
			return tensors.Request{}, &judge.InputError{Err: err}
		}
	}
	q, err := tensors.ParseRequest(text, header, tensors.Limits{})
	var form *tensors.Error
	if err != nil && !errors.As(err, &form) {
		err = &judge.InputError{Err: err}
	}
	return q, err
}

func headerLength(text string) (int64, error) {
	if text == "" {
		return -1, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, errors.New(lengthHeader + " is no number of bytes")
	}
	return n, nil
}

// isV1 reports whether the path of an inference is one of V1.
func isV1(raw string) bool { return strings.HasPrefix(path.Clean("/"+raw), "/v1/") }

const blockedMessage = "the guard refuses the request: it takes a row for adversarial"

// away answers for a model server that does not, and refuses.
func (p *Proxy) away(w http.ResponseWriter, r *http.Request, err error) {
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok && x.request != nil {
		x.request.drop()
	}
	var own *refusal
	switch {
	case errors.As(err, &own):
	case r.Context().Err() != nil:
		own = &refusal{499, "the client left"}
	default:
		if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok {
			p.o.Kinds.Doubt(x.to.URL)
		}
		p.o.Logger.Warn("a model server does not answer", "error", err)
		own = &refusal{http.StatusBadGateway, "the model's server does not answer"}
	}
	p.refuse(w, own)
}

// refuse answers as the protocol has errors.
func (p *Proxy) refuse(w http.ResponseWriter, err error) {
	own := &refusal{http.StatusInternalServerError, "the guard failed"}
	errors.As(err, &own)
	if own.status == http.StatusServiceUnavailable || own.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	text, err := json.Marshal(map[string]string{"error": own.message})
	if err != nil {
		panic("proxy: a message is not JSON: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text))) // so that it ends with the message
	w.WriteHeader(own.status)
	_, _ = w.Write(text) // who has gone needs no answer
}

// hostOf is an address without its port.
func hostOf(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

// both is what is read here and closed there.
type both struct {
	io.Reader
	io.Closer
}
