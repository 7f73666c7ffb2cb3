package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is one that was started, with one model.
type server struct {
	cmd         *exec.Cmd
	http, admin string // where it listens; admin is a URL
	model       string
	row         []int64 // shape
	client      *http.Client
}

// command is one of the program, on the cores that it is to have.
func (o options) command(ctx context.Context, args ...string) *exec.Cmd {
	words := append(append(strings.Fields(o.with), o.program), args...)
	return exec.CommandContext(ctx, words[0], words[1:]...)
}

// serve starts the program's server.
func serve(ctx context.Context, o options) (*server, error) {
	s := &server{client: &http.Client{}}
	s.cmd = o.command(ctx, "serve", o.detector, "--http", "127.0.0.1:0", "--grpc", "off", "--admin", "127.0.0.1:0", "--set", "log.access=false", "--log-level", "error")
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for (s.http == "" || s.admin == "") && lines.Scan() {
		switch name, at, _ := strings.Cut(lines.Text(), " "); name {
		case "http":
			s.http = at
		case "admin":
			s.admin = "http://" + at
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // until it ends
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if err = s.describe(ctx); err == nil {
			return s, nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("the server does not come up: %w", err), s.stop())
		}
	}
}

// describe learns the name of the model and the shape of its rows.
func (s *server) describe(ctx context.Context) error {
	var list struct {
		Models []string `json:"models"`
	}
	if err := s.get(ctx, "http://"+s.http+"/v1/models", &list); err != nil {
		return err
	}
	if len(list.Models) != 1 {
		return fmt.Errorf("%d models, want 1", len(list.Models))
	}
	s.model = list.Models[0]
	var about struct {
		Inputs []struct {
			Name  string  `json:"name"`
			Shape []int64 `json:"shape"`
		} `json:"inputs"`
	}
	if err := s.get(ctx, "http://"+s.http+"/v2/models/"+s.model, &about); err != nil {
		return err
	}
	for _, in := range about.Inputs {
		if in.Name == "x" && len(in.Shape) > 1 {
			s.row = in.Shape[1:]
			return nil
		}
	}
	return errors.New("the model takes no rows as one tensor of numbers")
}

func (s *server) get(ctx context.Context, url string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	a, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, a.Status)
	}
	if text, ok := into.(*string); ok {
		b, err := io.ReadAll(a.Body)
		*text = string(b)
		return err
	}
	return json.NewDecoder(a.Body).Decode(into)
}

// stop ends the server as a service manager does.
func (s *server) stop() error {
	if s.cmd.Process == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // fails where it has ended
	return s.cmd.Wait()
}

// metric is the sum of the lines of a name in text.
func metric(text, name string) float64 {
	sum := 0.0
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok && strings.ContainsAny(rest[:1], "{ ") {
			fields := strings.Fields(line)
			v, _ := strconv.ParseFloat(fields[len(fields)-1], 64) // it is a metric
			sum += v
		}
	}
	return sum
}

// gauges are of the server's process.
type gauges struct{ memory, goroutines, files float64 }

func (s *server) gauges(ctx context.Context) (gauges, error) {
	var text string
	err := s.get(ctx, s.admin+"/metrics", &text)
	return gauges{metric(text, "process_resident_memory_bytes"), metric(text, "go_goroutines"), metric(text, "process_open_fds")}, err
}

// refusals are how many requests the server refused within 5 ms of having read their headers, and how many in all; and
// the most that it measured, a bound of its histogram.
func (s *server) refusals(ctx context.Context) (quick, all float64, err error) {
	var text string
	err = s.get(ctx, s.admin+"/metrics", &text)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "vaeguard_refusal_seconds_bucket{") && strings.Contains(line, `le="0.005"`) {
			quick += metric(line, "vaeguard_refusal_seconds_bucket")
		}
	}
	return quick, metric(text, "vaeguard_refusal_seconds_count"), err
}

// batches are the rows of the batches that requests were judged in, and those requests.
func (s *server) batches(ctx context.Context) (sum, count float64, err error) {
	var text string
	err = s.get(ctx, s.admin+"/metrics", &text)
	return metric(text, "vaeguard_batch_rows_sum"), metric(text, "vaeguard_batch_rows_count"), err
}

// processor is the time of a process and of those below it, in seconds.
func processor(pid int) (float64, error) {
	const ticks = 100 // of a second: USER_HZ
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may have spaces
	fields := strings.Fields(rest)
	sum := 0.0
	for _, i := range []int{11, 12, 13, 14} { // utime, stime, and those of children that ended
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return 0, err
		}
		sum += v / ticks
	}
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return 0, err
	}
	for _, file := range children {
		list, _ := os.ReadFile(file) // a thread may have ended
		for _, text := range strings.Fields(string(list)) {
			child, err := strconv.Atoi(text)
			if err != nil {
				return 0, err
			}
			if v, err := processor(child); err == nil { // else it has ended
				sum += v
			}
		}
	}
	return sum, nil
}

// engine is the processor time of a row for vaeguard detect: the difference of two numbers of
// rows, so that its start does not count.
func engine(ctx context.Context, o options, row []int64) (float64, error) {
	dir, err := os.MkdirTemp("", "load")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	const few, many = 500, 4500
	var took [2]float64
	for i, n := range []int{few, many} {
		file := filepath.Join(dir, "x.npy")
		if err := os.WriteFile(file, npy(n, row), 0o600); err != nil {
			return 0, err
		}
		cmd := o.command(ctx, "detect", o.detector, "--data", file, "--out", filepath.Join(dir, "out.json"))
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return 0, fmt.Errorf("detect: %w", err)
		}
		if err := os.Remove(filepath.Join(dir, "out.json")); err != nil {
			return 0, err
		}
		took[i] = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	}
	return (took[1] - took[0]) / (many - few), nil
}

// npy is a file of n random rows of float32.
func npy(n int, row []int64) []byte {
	shape := strconv.Itoa(n) + ","
	for _, d := range row {
		shape += " " + strconv.FormatInt(d, 10) + ","
	}
	head := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", shape)
	head += strings.Repeat(" ", 63-(10+len(head))%64) + "\n"
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(head)), byte(len(head)>>8))
	return append(append(b, head...), numbers(n, row)...)
}

// numbers are n random rows in [0, 1).
func numbers(n int, row []int64) []byte {
	size := int64(n)
	for _, d := range row {
		size *= d
	}
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, 0, 4*size)
	for range size {
		b, _ = binary.Append(b, binary.LittleEndian, r.Float32()) // a number never fails
	}
	return b
}
