package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// request is a file of rows as detect --requests takes it.
func request(format string, body []byte) []byte {
	head := append([]byte{byte(len(format))}, format...)
	return append(binary.LittleEndian.AppendUint64(head, uint64(len(body))), body...)
}

// TestRequestAfterBad: a request whose rows are refused before all of it has come takes
// nothing of the one that follows.
func TestRequestAfterBad(t *testing.T) {
	w := newWorld(t, map[string]string{"tiny.yaml": tinySpec})
	w.must(0, "train", "tiny.yaml", "--out", "tiny", "--quiet")
	p := w.command("detect", "tiny", "--data", "-", "--requests", "--format", "csv", "--quiet")
	in, out := io.Pipe()
	answers, written := io.Pipe()
	p.Stdin, p.Cmd.Stdout = in, written
	w.begin(p)
	bad := []byte("[5,3,\"x\",0]\n[5,3,1," + strings.Repeat(" ", 1<<12) + "0]\n" + strings.Repeat("[5,3,1,0]\n", 50_000))
	const rows = 300
	good := request("jsonl", []byte(strings.Repeat("[5.1,3.5,1.4,0.2]\n", rows)))
	const rounds = 5
	go func() {
		for range rounds {
			r := request("jsonl", bad)
			_, _ = out.Write(r[:1<<11]) // the second row has begun
			time.Sleep(200 * time.Millisecond)
			_, _ = out.Write(append(bytes.Clone(r[1<<11:]), good...))
		}
		_ = out.Close()
	}()
	read := func(what string) (kind byte, body []byte) {
		t.Helper()
		type answer struct {
			kind byte
			body []byte
			err  error
		}
		came := make(chan answer, 1)
		go func() {
			var head [9]byte
			if _, err := io.ReadFull(answers, head[:]); err != nil {
				came <- answer{err: err}
				return
			}
			body := make([]byte, binary.LittleEndian.Uint64(head[1:]))
			_, err := io.ReadFull(answers, body)
			came <- answer{head[0], body, err}
		}()
		select {
		case a := <-came:
			if a.err != nil {
				t.Fatalf("%s: %v", what, a.err)
			}
			return a.kind, a.body
		case err := <-p.ended:
			t.Fatalf("%s: vaeguard has ended: %v; stderr:\n%s", what, err, p.stderr.String())
		case <-time.After(patience):
			t.Fatalf("%s: no answer", what)
		}
		return 0, nil
	}
	for i := range rounds {
		if kind, body := read(fmt.Sprint("bad ", i)); kind != 'X' || !strings.Contains(string(body), "row 0") {
			t.Fatalf("round %d: answer %c %.200s", i, kind, body)
		}
		if kind, body := read(fmt.Sprint("good ", i)); kind != 'R' || strings.Count(string(body), "\n") != rows+1 {
			t.Fatalf("round %d: answer %c of %d lines: %.200s", i, kind, strings.Count(string(body), "\n"), body)
		}
	}
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d; stderr:\n%s", code, p.stderr.String())
	}
}
