package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/results"
	"github.com/vaeguard/vaeguard/sdk"
)

// requestsHelp is what --requests says of itself.
const requestsHelp = "answer request after request from standard input until it ends, for a program that keeps this one: each is the length " +
	"of a format's name (1 byte) and the name, as --input-format has it, then the length (8 bytes, little-endian) and the bytes of a file " +
	"in it; each answer is R, X for rows that cannot be scored, A for a classifier that is away and may be asked again, or F for one that failed, then the length (8 bytes) and the bytes of a file in --format, or the error's text"

// answerRequests answers files of rows that come one after the other. A file that cannot be
// read, or whose rows cannot be scored, is an answer too; the next one may be sound.
func (a *app) answerRequests(ctx context.Context, d *host.Detector, f *detectFlags, format results.Format, include detect.Include, w io.Writer) error {
	in := bufio.NewReaderSize(a.stdin, 1<<16)
	for {
		name, size, err := readRequest(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
		body := &io.LimitedReader{R: in, N: size}
		one := *f
		one.rows.format = name
		var answer bytes.Buffer
		kind := byte('R')
		if err := a.detectFrom(ctx, d, &one, body, format, include, &answer); err != nil {
			if ctx.Err() != nil {
				return err
			}
			kind = faultOf(err)
			answer.Reset()
			answer.WriteString(err.Error())
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
		if body.N > 0 {
			return fmt.Errorf("standard input: it ended %d bytes before the end of a request", body.N)
		}
		if err := writeAnswer(w, kind, answer.Bytes()); err != nil {
			return err
		}
	}
}

// faultOf is the kind of an answer that is an error: of the classifier where it was one
// of its own, else of the rows.
func faultOf(err error) byte {
	var own *sdk.Error
	var process *launch.Error
	switch kind := sdk.KindOf(err); {
	case kind == sdk.Unavailable:
		return 'A'
	case kind != sdk.InvalidArgument && (errors.As(err, &own) || errors.As(err, &process)):
		return 'F'
	}
	return 'X'
}

// readRequest reads the head of a request. It is io.EOF where the input ends between
// two.
func readRequest(r io.Reader) (format string, size int64, err error) {
	var length [1]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return "", 0, err
	}
	head := make([]byte, int(length[0])+8)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", 0, errors.New("it ended within the head of a request")
	}
	name, n := string(head[:length[0]]), binary.LittleEndian.Uint64(head[length[0]:])
	if n > 1<<62 {
		return "", 0, fmt.Errorf("a request of %d bytes", n)
	}
	return name, int64(n), nil
}

func writeAnswer(w io.Writer, kind byte, body []byte) error {
	head := binary.LittleEndian.AppendUint64([]byte{kind}, uint64(len(body)))
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}
