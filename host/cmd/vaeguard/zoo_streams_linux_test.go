package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/proto"
)

type tapes = grpc.BidiStreamingServer[proto.DifferentiateRequest, proto.DifferentiateResponse]

type fits = grpc.BidiStreamingServer[proto.FitRequest, proto.FitEvent]

// streamBeasts break off, or out of the lockstep.
func streamBeasts() []*beast {
	const kind = "streams"
	outputs := func() *proto.DifferentiateResponse {
		y := &proto.Tensor{Dtype: proto.DType_F32, Shape: []int64{zooRows, 10}, Data: make([]byte, 40*zooRows)}
		return &proto.DifferentiateResponse{Step: &proto.DifferentiateResponse_Outputs{Outputs: &proto.PredictResponse{Outputs: map[string]*proto.Tensor{sdk.Output: y}}}}
	}
	dx := func(columns int64) *proto.DifferentiateResponse {
		return &proto.DifferentiateResponse{Step: &proto.DifferentiateResponse_Dx{Dx: &proto.Tensor{Dtype: proto.DType_F32, Shape: []int64{zooRows, columns}, Data: make([]byte, 4*zooRows*columns)}}}
	}
	return []*beast{
		{kind: kind, what: "a tape that ends after the forward step", want: "plugin zoo", differentiate: func(s tapes) error {
			if _, err := s.Recv(); err != nil {
				return err
			}
			return s.Send(outputs())
		}},
		{kind: kind, what: "a gradient for a forward step", want: "plugin zoo", differentiate: func(s tapes) error {
			if _, err := s.Recv(); err != nil {
				return err
			}
			_ = s.Send(dx(64))
			sleep()
			return nil
		}},
		{kind: kind, what: "a gradient of another shape", want: "dx", differentiate: func(s tapes) error {
			if _, err := s.Recv(); err != nil {
				return err
			}
			if err := s.Send(outputs()); err != nil {
				return err
			}
			if _, err := s.Recv(); err != nil {
				return err
			}
			_ = s.Send(dx(63))
			sleep()
			return nil
		}},
		{kind: kind, what: "answers without end to one message", want: "plugin zoo", differentiate: func(s tapes) error {
			if _, err := s.Recv(); err != nil {
				return err
			}
			for {
				if err := s.Send(outputs()); err != nil {
					return err
				}
			}
		}},
		{kind: kind, what: "its connection closed in a call", want: "gave up after 1 restarts", predict: func(int, *proto.Tensor, *proto.PredictResponse) error {
			for fd := 3; fd < 64; fd++ {
				if name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && strings.HasPrefix(name, "socket:") {
					_ = syscall.Shutdown(fd, syscall.SHUT_RDWR)
				}
			}
			sleep()
			return nil
		}},
		{kind: kind, what: "all its descriptors closed, and it stays", want: "", first: func() {
			go func() {
				time.Sleep(200 * time.Millisecond)
				_ = syscall.Close(1)
				_ = syscall.Close(2)
			}()
		}, predict: func(int, *proto.Tensor, *proto.PredictResponse) error {
			time.Sleep(150 * time.Millisecond)
			return nil
		}},
	}
}

// fitBeasts are trained, and leave what no training leaves.
func fitBeasts() []*beast {
	const kind = "training"
	train := func(what, want string, fit func(string, fits) error) *beast {
		return &beast{kind: kind, what: what, want: want, fit: fit, args: []string{"train", "zoo.yaml", "--out", "guard", "--quiet"}, mib: 220, seconds: 90}
	}
	progress := func(s fits, metrics map[string]float64) error {
		return s.Send(&proto.FitEvent{Event: &proto.FitEvent_Progress{Progress: &proto.FitProgress{Epoch: 1, Step: 1, Steps: 2, Metrics: metrics}}})
	}
	sum := func(text string) string {
		s := sha256.Sum256([]byte(text))
		return hex.EncodeToString(s[:])
	}
	return []*beast{
		train("progress for ever", "not done within 20s (classifier.fit_timeout)", func(_ string, s fits) error {
			for {
				if err := progress(s, map[string]float64{"loss": 1}); err != nil {
					sleep()
				}
				time.Sleep(time.Millisecond)
			}
		}),
		train("silence for ever", "no progress within 15s (classifier.fit_silence)", func(string, fits) error {
			sleep()
			return nil
		}),
		train("it ends before it is done", "the plugin ended the stream before it was done", func(string, fits) error { return nil }),
		train("a file of 200 GiB, with nothing in it", "with it there are more than 17179869184 bytes", func(dir string, s fits) error {
			f, err := os.Create(filepath.Join(dir, "weights"))
			if err != nil {
				return err
			}
			if err := f.Truncate(200 << 30); err != nil {
				return err
			}
			return done(s, `{}`, &proto.FitFile{Name: "weights", Sha256: sum("")})
		}),
		train("a file that leads out of the folder", `it lists "../canary", which is not in its folder`, func(dir string, s fits) error {
			_ = os.WriteFile(filepath.Join(dir, "weights"), []byte("w"), 0o600)
			return done(s, `{}`, &proto.FitFile{Name: "../canary", Sha256: sum("w")})
		}),
		train("a link to a file of the user", "which is not a regular file", func(dir string, s fits) error {
			_ = os.Symlink("/etc/passwd", filepath.Join(dir, "weights"))
			text, err := os.ReadFile("/etc/passwd")
			if err != nil {
				return err
			}
			return done(s, `{}`, &proto.FitFile{Name: "weights", Sha256: sum(string(text))})
		}),
		train("a pipe that nobody writes", "which is not a regular file", func(dir string, s fits) error {
			if err := syscall.Mkfifo(filepath.Join(dir, "weights"), 0o600); err != nil {
				return err
			}
			return done(s, `{}`, &proto.FitFile{Name: "weights", Sha256: sum("")})
		}),
		train("a file that is not what it says", "with the sha256 4c94485e0c21ae6c41ce1dfe7b6bfaceea5ab68e40a2476f50208e526f506080, and wrote", func(dir string, s fits) error {
			_ = os.WriteFile(filepath.Join(dir, "weights"), []byte("w"), 0o600)
			return done(s, `{}`, &proto.FitFile{Name: "weights", Sha256: sum("v")})
		}),
		train("20,000 files", "20000 files, want at most 10000", func(dir string, s fits) error {
			files := make([]*proto.FitFile, 20_000)
			for i := range files {
				files[i] = &proto.FitFile{Name: fmt.Sprint(i), Sha256: sum("")}
			}
			return done(s, `{}`, files...)
		}),
		train("a config of 100,000 levels", "the config that it ends with is not a JSON object", func(_ string, s fits) error {
			return done(s, strings.Repeat(`{"a":`, 100_000)+"1"+strings.Repeat("}", 100_000))
		}),
		train("300,000 metrics with escapes", "larger than max", func(_ string, s fits) error {
			m := make(map[string]float64, 300_000)
			for i := range 300_000 {
				m[fmt.Sprintf("\x1b[2J\n%050d", i)] = 1
			}
			return progress(s, m)
		}),
	}
}
