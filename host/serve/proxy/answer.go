package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/oip"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

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
	case x.asked == nil || r.StatusCode/100 != 2:
		return nil
	case !ok: // a part of an answer perhaps, for which Range asks
		note, err := p.unjudged(x.to, errors.New("the model server's answer is not known to be whole"))
		r.Header.Set("X-Vaeguard-Verdict", note)
		return err
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
func (p *Proxy) write(x *exchange, r *http.Response, body []byte) (v *judge.Opinion, _ []byte, header int64, err error) {
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
