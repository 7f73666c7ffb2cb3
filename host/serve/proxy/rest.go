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

	"github.com/vaeguard/vaeguard/host/detect"
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
	if whole, ok := r.Body.(interface{ Unbounded() io.ReadCloser }); ok {
		r.Body = whole.Unbounded() // what passes has no bound
	}
	if strings.ContainsRune(r.URL.Path, 0) {
		p.counts.refused.Add(1)
		p.refuse(w, &refusal{http.StatusBadRequest, zeroByte})
		return
	}
	named, asks := p.route(r)
	t := named
	if t == nil {
		t = p.models()[0]
	}
	x := &exchange{to: t, header: w.Header(), peer: hostOf(r.RemoteAddr), v1: asks == judged && isV1(r.URL.Path)}
	switch {
	case asks == judged && t.Policy == Observe && p.full():
		p.counts.dropped.Add(1) // it would be, once it was copied
	case asks == judged && t.Policy == Observe:
		x.request = p.tap(r.Body, r.ContentLength)
		x.coding, x.length = only(r.Header, "Content-Encoding"), only(r.Header, lengthHeader)
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
	case asks == beside && p.closed(named):
		p.counts.refused.Add(1)
		p.refuse(w, &refusal{http.StatusForbidden, "this way of asking a model is not judged, and so refused: use /v2/models/" + t.upstream() + "/infer"})
		return
	default:
		p.counts.passed.Add(1)
	}
	p.rest.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
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
		if q, err = p.parse(x, body, only(r.Header, "Content-Encoding"), only(r.Header, lengthHeader)); err == nil {
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

// answered is what comes of the model server's answer.
func (p *Proxy) answered(r *http.Response) error {
	x := r.Request.Context().Value(exchangeKey{}).(*exchange)
	for name := range r.Header {
		x.header.Del(name) // the request's id, where both have one
	}
	ok := r.StatusCode == http.StatusOK
	switch {
	case x.request != nil && ok:
		x.answer = r.Header.Clone()
		x.response = p.tap(r.Body, r.ContentLength)
		x.response.ended = func() { p.observe(x) }
		r.Body = x.response
		return nil
	case x.request != nil:
		x.request.drop()
		return nil
	case x.note != "":
		r.Header.Set("X-Vaeguard-Verdict", x.note)
		return nil
	case x.asked == nil || !ok:
		return nil
	}
	return p.verdict(x, r)
}

// verdict judges an answer and writes the verdict into it.
func (p *Proxy) verdict(x *exchange, r *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, p.o.MaxBody+1))
	if err != nil {
		return err
	}
	if int64(len(body)) > p.o.MaxBody {
		note, err := p.unjudged(x.to, &overError{p.o.MaxBody})
		if err == nil {
			r.Header.Set("X-Vaeguard-Verdict", note)
			r.Body = both{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
		}
		return err
	}
	_ = r.Body.Close() // it was read to its end
	r.Body = io.NopCloser(bytes.NewReader(body))
	v, written, header, err := p.write(x, r, body)
	var blocked *refusal
	if errors.As(err, &blocked) {
		for name, value := range headers(v) {
			x.header.Set(name, value)
		}
		return err
	}
	if err != nil {
		note, err := p.unjudged(x.to, err)
		r.Header.Set("X-Vaeguard-Verdict", note)
		return err
	}
	for name, value := range headers(v) {
		r.Header.Set(name, value)
	}
	if x.to.Policy == Block && (!x.to.Rows || flagged(v) == 0) {
		return nil
	}
	r.Header.Del(lengthHeader)
	r.Header.Del("Content-Encoding")
	r.Header.Del("Etag")
	r.Header.Del("Content-Digest")
	r.Header.Del("Content-Md5")
	if header >= 0 {
		r.Header.Set(lengthHeader, strconv.FormatInt(header, 10))
	}
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(written)), int64(len(written)), nil
	r.Header.Set("Content-Length", strconv.Itoa(len(written)))
	if len(r.Trailer) > 0 {
		r.Header.Del("Content-Length") // a body of known length has no trailers
	}
	return nil
}

// write judges an answer, and gives what the client gets, and the length of its JSON where
// binary data follows.
func (p *Proxy) write(x *exchange, r *http.Response, body []byte) (v *detect.Result, _ []byte, header int64, err error) {
	plain, err := oip.Plain(r.Header.Get("Content-Encoding"), body, p.o.MaxBody)
	if err != nil {
		return nil, nil, 0, err
	}
	a, header, err := x.readAnswer(plain, r.Header)
	if err != nil {
		return nil, nil, 0, err
	}
	if v, err = p.judge(r.Request.Context(), x.to, x.asked, a, x.peer); err != nil {
		return nil, nil, 0, err
	}
	n := 0
	switch x.to.Policy {
	case Block:
		if flagged(v) == 0 {
			return v, body, header, nil
		}
		p.counts.blocked.Add(1)
		if !x.to.Rows || !blank(&a, v) {
			return v, nil, 0, &refusal{http.StatusForbidden, blockedMessage}
		}
		n = flagged(v)
	case Correct:
		if n, err = x.to.correct(x.asked.model.Detector(), &a, v); err != nil {
			return nil, nil, 0, err
		}
		p.counts.corrected.Add(int64(n))
	}
	if n > 0 && x.v1 {
		if plain, err = replace(plain, "predictions", tensors.AppendPredictionsV1(nil, a.Outputs)); err != nil && x.to.Policy == Block {
			return v, nil, 0, &refusal{http.StatusForbidden, blockedMessage}
		} else if err != nil {
			return nil, nil, 0, err
		}
	} else if n > 0 {
		var binary func(tensors.Tensor) bool
		if header >= 0 {
			binary = func(t tensors.Tensor) bool { return x.asked.request.Binary(t.Name, false) }
		}
		plain, header = tensors.AppendResponse(nil, a, binary)
	}
	at := len(plain)
	if header >= 0 {
		at = int(header)
	}
	text, err := splice(plain[:at], parameters(v))
	if err != nil && x.to.Policy == Block {
		return v, nil, 0, &refusal{http.StatusForbidden, blockedMessage}
	}
	if err != nil {
		return nil, nil, 0, err
	}
	if header >= 0 {
		header = int64(len(text))
	}
	return v, append(text, plain[at:]...), header, nil
}

// readAnswer reads an answer, and gives the length of its JSON where binary data follows.
func (x *exchange) readAnswer(plain []byte, h http.Header) (a tensors.Response, header int64, err error) {
	if x.v1 {
		a, err = tensors.ParseResponseV1(plain, tensors.Limits{})
		header = -1
	} else if header, err = headerLength(h.Get(lengthHeader)); err == nil {
		a, err = tensors.ParseResponse(plain, header, tensors.Limits{})
	}
	if err != nil {
		err = errors.New("the model server's answer is none of the protocol: " + err.Error())
	}
	return a, header, err
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
