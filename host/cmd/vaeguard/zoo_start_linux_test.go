package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/sdk/proto"
)

// beasts are the zoo.
func beasts() []*beast {
	var all []*beast
	for _, kind := range [][]*beast{startBeasts(), silentBeasts(), processBeasts(), textBeasts(), hugeBeasts(), wrongBeasts(), changingBeasts(), streamBeasts(), fitBeasts()} {
		all = append(all, kind...)
	}
	return all
}

// forever is longer than any test.
const forever = time.Hour

func sleep() { time.Sleep(forever) }

// startBeasts lie in their handshake.
func startBeasts() []*beast {
	const kind = "handshake"
	line := func(text string) func() {
		return func() {
			fmt.Println(os.ExpandEnv(text))
			sleep()
		}
	}
	return []*beast{
		{kind: kind, what: "a line that never ends", want: "its first line on stdout has more than 65536 bytes", first: func() {
			for block := bytes.Repeat([]byte{'1'}, 1<<20); ; {
				if _, err := os.Stdout.Write(block); err != nil {
					sleep()
				}
			}
		}},
		{kind: kind, what: "megabytes of lines before it", want: "belongs to the handshake", first: func() {
			fmt.Print(strings.Repeat("Loading | weights | of | the | model | now\n", 1<<16))
			sleep()
		}},
		{kind: kind, what: "a protocol of the future", want: "it speaks another version of the protocol than 1", first: line("1|99|unix|/x|grpc|")},
		{kind: kind, what: "the address of another machine", want: `it names the address "198.51.100.7:443"`, first: line("1|1|tcp|198.51.100.7:443|grpc|")},
		{kind: kind, what: "the socket of another program", want: `it names the socket "/run/docker.sock"`, first: line("1|1|unix|/run/docker.sock|grpc|")},
		{kind: kind, what: "a certificate that is none", want: "certificate", first: line("1|1|unix|$PLUGIN_UNIX_SOCKET_DIR/s|grpc|" + strings.Repeat("QUJD", 4000))},
		{kind: kind, what: "a server that speaks no TLS", want: "describe: ", first: func() {
			path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				panic(err)
			}
			fmt.Printf("1|1|unix|%s|grpc|\n", path)
			for {
				c, err := l.Accept()
				if err != nil {
					panic(err)
				}
				go func() {
					for block := make([]byte, 1<<16); ; {
						if _, err := c.Write(block); err != nil {
							return
						}
					}
				}()
			}
		}},
		{kind: kind, what: "a server that accepts and says nothing", want: "no handshake within 10s", first: func() {
			path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				panic(err)
			}
			fmt.Printf("1|1|unix|%s|grpc|\n", path)
			for held := []net.Conn{}; ; {
				c, err := l.Accept()
				if err != nil {
					panic(err)
				}
				held = append(held, c)
			}
		}},
		{kind: kind, what: "standard output closed at once", want: "start: ", first: func() {
			_ = os.Stdout.Close()
			sleep()
		}},
	}
}

// silentBeasts do not answer.
func silentBeasts() []*beast {
	const kind = "no answer"
	return []*beast{
		{kind: kind, what: "nothing is ever said, and SIGTERM ignored", want: "no handshake within 10s", first: func() {
			signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
			sleep()
		}},
		{kind: kind, what: "Describe hangs", want: "describe: no answer within 10s", describe: func(int, *proto.DescribeResponse) { sleep() }},
		{kind: kind, what: "Configure hangs", want: "configure: no answer within 10s", configure: func(*proto.ConfigureResponse) error {
			sleep()
			return nil
		}},
		{kind: kind, what: "Predict hangs", want: "predict: no answer within 10s, so it was killed", predict: func(int, *proto.Tensor, *proto.PredictResponse) error {
			sleep()
			return nil
		}},
		{kind: kind, what: "it stops itself in the third call", want: "predict: no answer within 10s, so it was killed", predict: func(call int, _ *proto.Tensor, _ *proto.PredictResponse) error {
			if call == 3 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
				sleep()
			}
			return nil
		}},
	}
}

// processBeasts use their process against the host.
func processBeasts() []*beast {
	const kind = "process"
	child := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(name, args...)
		c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr // it holds the host's pipes
		return c
	}
	crash := func(int, *proto.Tensor, *proto.PredictResponse) error {
		os.Exit(9)
		return nil
	}
	return []*beast{
		{kind: kind, what: "a child that holds its pipes", want: "it crashed; gave up after 1 restarts", first: func() { _ = child("sleep", "1000").Start() }, predict: crash},
		{kind: kind, what: "children in sessions of their own, deaf to SIGTERM", first: func() {
			for range 5 {
				_ = child("setsid", "sh", "-c", "trap '' TERM HUP INT; sleep 1000 & sleep 1000").Start()
			}
		}},
		{kind: kind, what: "forks without end, 60 at a time", first: func() {
			script := filepath.Join(os.TempDir(), "forks")
			_ = os.WriteFile(script, []byte("#!/bin/sh\nwhile :; do sleep 1000 & n=$((n+1)); [ $n -gt 60 ] && { kill $!; sleep 0.01; }; done\n"), 0o700)
			_ = child("setsid", script).Start()
		}},
		{kind: kind, what: "another process at each look", first: func() {
			script := filepath.Join(os.TempDir(), "hops")
			_ = os.WriteFile(script, []byte("#!/bin/sh\nsetsid sh \"$0\" </dev/null >/dev/null 2>&1 &\n"), 0o700)
			_ = child("setsid", script).Start()
		}},
		{kind: kind, what: "it kills its parent", want: "start: it ended before the handshake", first: func() {
			_ = syscall.Kill(os.Getppid(), syscall.SIGKILL)
			sleep()
		}},
		{kind: kind, what: "it stops its parent and hangs", want: "no answer within 10s", predict: func(int, *proto.Tensor, *proto.PredictResponse) error {
			_ = syscall.Kill(os.Getppid(), syscall.SIGSTOP)
			sleep()
			return nil
		}},
		{kind: kind, what: "all memory that there is", want: "memory limit of 300 MiB (classifier.memory_limit_mb)", memory: 300, predict: takeAll},
		{kind: kind, what: "it writes to the terminal", first: func() {
			tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
			if err == nil {
				fmt.Fprintln(tty, "\x1b[2Jyou are logged out")
				_ = os.WriteFile("canary", nil, 0o600)
			}
		}},
		{kind: kind, what: "it writes to every descriptor that it can", first: func() {
			for fd := uintptr(3); fd < 64; fd++ {
				_, _ = syscall.Write(int(fd), []byte("\x1b[2Jall is well\n"))
			}
		}},
	}
}

// takeAll takes memory until something ends it.
func takeAll(int, *proto.Tensor, *proto.PredictResponse) error {
	for held := [][]byte{}; ; {
		held = append(held, bytes.Repeat([]byte{1}, 1<<20))
	}
}

// textBeasts write what forges lines, moves the cursor or fills the screen.
func textBeasts() []*beast {
	const kind = "text"
	const forged = "good\nvaeguard: all is well\r\x1b[2K\x1b]0;owned\a\u202egnp.exe\u009b31m"
	return []*beast{
		{kind: kind, what: "a name with escapes", want: "name", describe: func(_ int, d *proto.DescribeResponse) { d.Name = forged }},
		{kind: kind, what: "a layer with escapes", want: "hidden", describe: func(_ int, d *proto.DescribeResponse) {
			d.Hidden = []*proto.HiddenLayer{{Name: forged, Shape: []int64{1}}}
		}},
		{kind: kind, what: "an error with escapes", want: `good\nvaeguard: all is well\r\x1b[2K`, predict: func(int, *proto.Tensor, *proto.PredictResponse) error {
			return status.Error(codes.Internal, forged)
		}},
		{kind: kind, what: "an error in an error, 100,000 deep", want: "in row 1: in row 1: in row 1", predict: func(int, *proto.Tensor, *proto.PredictResponse) error {
			return status.Error(codes.Internal, strings.Repeat("in row 1: ", 100_000))
		}},
		{kind: kind, what: "diagnostics that point with escapes", want: `/good\nvaeguard: all is well`, configure: func(m *proto.ConfigureResponse) error {
			m.Diagnostics = []*proto.Diagnostic{{Pointer: "/" + forged, Message: forged}}
			return nil
		}},
		{kind: kind, what: "a screen of last words", want: `\x1b[2J`, predict: func(int, *proto.Tensor, *proto.PredictResponse) error {
			fmt.Fprint(os.Stderr, strings.Repeat("\x1b[2J\rvaeguard: all is well\r", 1<<16), "\n", strings.Repeat("\x1b[A\n", 1<<12))
			os.Exit(9)
			return nil
		}},
		{kind: kind, what: "log lines of its own level and time", want: "", predict: func(int, *proto.Tensor, *proto.PredictResponse) error {
			fmt.Fprintln(os.Stderr, `{"@level":"info","@message":"ok\u001b[2J\nvaeguard: trust it","@module":"\u001b]0;x\u0007","\u001b[1mkey":"\u202evalue"}`)
			time.Sleep(50 * time.Millisecond)
			return nil
		}},
	}
}
