package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// hermit tries what its config says, at its first prediction.
type hermit struct {
	*sdktest.Fake
	Try   string `json:"try"`
	At    string `json:"at"`
	Model string `json:"model"` // a file that it is given to read
}

func (h *hermit) Schema() []byte {
	return []byte(`{"type": "object", "properties": {"try": {"type": "string"}, "at": {"type": "string"}, "model": {"type": "string", "format": "path"}}, "additionalProperties": false}`)
}

func (h *hermit) Configure(_ context.Context, c sdk.Config) error {
	if len(c.JSON) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.JSON, h); err != nil || h.Model == "" {
		return err
	}
	h.Model = c.Path(h.Model)
	return nil
}

func (h *hermit) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	if err := h.tries(); err != nil {
		return nil, sdk.Errorf(sdk.FailedPrecondition, "%s: %w", h.Try, err)
	}
	return h.Fake.Predict(ctx, x)
}

func newHermit() sdk.Classifier { return &hermit{Fake: fake()} }

// pretend makes this process live on another kernel, if its environment says so.
func pretend() {
	if without := os.Getenv(withoutConfiners); without != "" {
		takeConfiners(without)
	}
}

// tries are what a plugin may try, by name: nil says that it could.
func (h *hermit) tries() error {
	socket := func(family, kind int) error {
		fd, err := unix.Socket(family, kind, 0)
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	}
	switch h.Try {
	case "dial":
		c, err := net.Dial("tcp", h.At)
		if err == nil {
			err = c.Close()
		}
		return err
	case "dial unix":
		c, err := net.Dial("unix", h.At)
		if err == nil {
			err = c.Close()
		}
		return err
	case "listen":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			err = l.Close()
		}
		return err
	case "datagrams":
		return socket(unix.AF_INET6, unix.SOCK_DGRAM)
	case "unix datagrams":
		return socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC)
	case "netlink":
		return socket(unix.AF_NETLINK, unix.SOCK_RAW)
	case "ring":
		_, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(0), 0)
		if errno == unix.ENOSYS {
			return fmt.Errorf("%w: permission denied", errno) // as to a kernel without rings
		}
		return nil
	case "namespaces":
		return exec.Command("unshare", "-U", "true").Run()
	case "read":
		_, err := os.ReadFile(h.At)
		return err
	case "list":
		_, err := os.ReadDir(h.At)
		return err
	case "write":
		return os.WriteFile(h.At, []byte("was here"), 0o600)
	case "truncate":
		return os.Truncate(h.At, 0)
	case "remove":
		return os.Remove(h.At)
	case "temporary": // it may
		f, err := os.CreateTemp("", "")
		if err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
		return err
	case "drop": // a program that it wrote itself
		name := filepath.Join(os.TempDir(), "dropped")
		if err := os.WriteFile(name, []byte("#!/bin/sh\n"), 0o700); err != nil {
			return err
		}
		return exec.Command(name).Run()
	case "memfd": // a program in memory that it wrote itself
		return inMemory(0)
	case "memfd that is never executed":
		return inMemory(unix.MFD_NOEXEC_SEAL)
	case "limits":
		return unix.Prlimit(h.pid(), unix.RLIMIT_NOFILE, nil, &unix.Rlimit{})
	case "scheduler":
		var param int32
		_, _, errno := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, uintptr(h.pid()), 0, uintptr(unsafe.Pointer(&param)))
		return failed(errno)
	case "priority":
		is, err := unix.Getpriority(unix.PRIO_PROCESS, h.pid())
		if err != nil {
			return err
		}
		return unix.Setpriority(unix.PRIO_PROCESS, h.pid(), 20-is) // the kernel counts down from 20
	case "priority of all":
		_, _, errno := unix.Syscall(unix.SYS_SETPRIORITY, unix.PRIO_USER, 1<<30, 0) // whom nobody is
		if errno == unix.ESRCH {
			return nil
		}
		return failed(errno)
	case "input and output":
		_, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, 1, uintptr(h.pid()), 0)
		return failed(errno)
	case "affinity": // it may
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(unix.Gettid(), &set); err != nil {
			return err
		}
		return unix.SchedSetaffinity(unix.Gettid(), &set)
	case "shared memory":
		at, err := unix.SysvShmAttach(h.pid(), 0, unix.SHM_RDONLY)
		if err == nil {
			err = unix.SysvShmDetach(at)
		}
		return err
	case "messages", "semaphores":
		get, control, size := uintptr(unix.SYS_MSGGET), uintptr(unix.SYS_MSGCTL), uintptr(0o600)
		if h.Try == "semaphores" {
			get, control, size = unix.SYS_SEMGET, unix.SYS_SEMCTL, 1
		}
		id, _, errno := unix.Syscall(get, unix.IPC_PRIVATE, size, 0o600)
		if errno == 0 {
			first, second := uintptr(unix.IPC_RMID), uintptr(0)
			if h.Try == "semaphores" {
				first, second = second, first
			}
			_, _, errno = unix.Syscall6(control, id, first, second, 0, 0, 0)
		}
		return failed(errno)
	case "queue":
		name, err := unix.BytePtrFromString("vaeguard-test-" + strconv.Itoa(os.Getpid()))
		if err != nil {
			return err
		}
		fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_CREAT|unix.O_RDWR, 0o600, 0, 0, 0)
		if errno == 0 {
			_ = unix.Close(int(fd))
			_, _, errno = unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(name)), 0, 0)
		}
		return failed(errno)
	case "watch":
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if err == nil {
			_, err = unix.InotifyAddWatch(fd, h.At, unix.IN_CREATE)
		}
		return err
	case "mode":
		if err := os.Chmod(h.At, 0o777); err != nil {
			return err
		}
		if info, err := os.Stat(h.At); err != nil || info.Mode().Perm() != 0o777 {
			return errors.Join(err, unix.EPERM) // it was told otherwise
		}
		return nil
	case "owner":
		return os.Lchown(h.At, os.Getuid(), os.Getgid())
	case "attribute":
		return unix.Setxattr(h.At, "user.vaeguard", []byte("x"), 0)
	case "copy": // as Python's shutil, with mode and times
		f, err := os.CreateTemp("", "")
		if err != nil {
			return err
		}
		return errors.Join(f.Chmod(0o644), os.Chtimes(f.Name(), time.Unix(1, 0), time.Unix(1, 0)), f.Close(), os.Remove(f.Name()))
	case "environ":
		_, err := os.ReadFile("/proc/" + h.At + "/environ")
		return err
	case "signal":
		pid, err := strconv.Atoi(h.At)
		if err != nil {
			return err
		}
		return unix.Kill(pid, 0)
	case "supervisor":
		return unix.Kill(os.Getppid(), unix.SIGKILL)
	case "model":
		_, err := os.ReadFile(h.Model)
		return err
	}
	return nil
}

// pid is the number that it tries something at.
func (h *hermit) pid() int {
	n, _ := strconv.Atoi(h.At) // 0 is itself
	return n
}

func failed(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// inMemory executes this program from a file in memory.
func inMemory(flags int) error {
	fd, err := unix.MemfdCreate("dropped", flags)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "dropped")
	defer f.Close()
	own, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer own.Close()
	if _, err := io.Copy(f, own); err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/fd/" + strconv.Itoa(fd))
	cmd.Env = append(os.Environ(), actEnv+"=say")
	cmd.ExtraFiles = []*os.File{f}
	cmd.Path = "/proc/self/fd/3"
	return cmd.Run()
}

// needConfiners skips where the kernel confines nothing, which other tests cover.
func needConfiners(t *testing.T) {
	t.Helper()
	if landlock, seccomp := confiners(); landlock < landlockScope || !seccomp {
		t.Skipf("Landlock %d, seccomp %v: this kernel cannot all of it", landlock, seccomp)
	}
}

// attempt has a hermit try something, confined as o says: nil says that it could.
func attempt(t *testing.T, confine Confine, try, at, model string) error {
	t.Helper()
	self, err := Self("hermit")
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(hermit{Try: try, At: at, Model: model})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Start(t.Context(), Options{Command: self, Confine: confine, Checks: ChecksOff, RestartBudget: -1, Config: sdk.Config{JSON: config, BaseDir: filepath.Dir(model)}})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Predict(t.Context(), random(1, 1, 4, 3, 2))
	return err
}

// TestConfined: what a shipped plugin does not need is denied to it, with an error that says
// by what; unconfined it could, so that each attempt is a real one.
func TestConfined(t *testing.T) {
	needConfiners(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	folder := t.TempDir()
	there := func(name string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	socket, err := net.Listen("unix", filepath.Join(folder, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	home := filepath.Join(t.TempDir(), "model")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(home, "m.bin")
	for _, name := range []string{model, filepath.Join(home, "m.data")} {
		if err := os.WriteFile(name, []byte("weights"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, memory := strconv.Itoa(os.Getpid()), sharedMemory(t)
	for _, c := range []struct{ try, at string }{
		{"dial", listener.Addr().String()},
		{"dial unix", socket.Addr().String()},
		{"listen", ""},
		{"datagrams", ""},
		{"unix datagrams", ""},
		{"netlink", ""},
		{"ring", ""},
		{"read", "/etc/passwd"},
		{"read", there("secret")},
		{"list", folder},
		{"list", "/"},
		{"write", filepath.Join(folder, "new")},
		{"write", there("old")},
		{"write", filepath.Join(home, "beside")},
		{"truncate", there("kept")},
		{"truncate", model},
		{"remove", there("needed")},
		{"drop", ""},
		{"memfd", ""},
		{"memfd that is never executed", ""},
		{"environ", host},
		{"limits", host},
		{"scheduler", host},
		{"priority", host},
		{"priority of all", ""},
		{"input and output", host},
		{"shared memory", memory},
		{"messages", ""},
		{"semaphores", ""},
		{"queue", ""},
		{"watch", folder},
		{"mode", there("moded")},
		{"owner", there("owned")},
		{"attribute", there("attributed")},
		{"signal", host},
		{"supervisor", ""},
	} {
		t.Run(c.try+" "+filepath.Base(c.at), func(t *testing.T) {
			t.Parallel()
			err := attempt(t, ConfineAuto, c.try, c.at, model)
			if err == nil {
				t.Fatal("it could")
			}
			for _, want := range []string{"it runs confined: no network, no files but its own, no signals to others", "classifier.confine to off"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v; want %q", err, want)
				}
			}
		})
	}
	for _, name := range []string{"old", "kept", "needed"} {
		if text, err := os.ReadFile(filepath.Join(folder, name)); err != nil || string(text) != "x" {
			t.Errorf("%s holds %q, %v", name, text, err)
		}
	}
}

// TestUnconfined: what TestConfined finds denied is possible without, and what every plugin needs is
// possible with it.
func TestUnconfined(t *testing.T) {
	needConfiners(t)
	folder := t.TempDir()
	model := filepath.Join(folder, "m.bin")
	if err := os.WriteFile(model, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	host, memory := strconv.Itoa(os.Getpid()), sharedMemory(t)
	for _, c := range []struct {
		confine Confine
		try, at string
	}{
		{ConfineOff, "listen", ""},
		{ConfineOff, "unix datagrams", ""},
		{ConfineOff, "netlink", ""},
		{ConfineOff, "read", "/etc/passwd"},
		{ConfineOff, "write", filepath.Join(folder, "new")},
		{ConfineOff, "drop", ""},
		{ConfineOff, "memfd", ""},
		{ConfineOff, "limits", host},
		{ConfineOff, "scheduler", host},
		{ConfineOff, "priority", host},
		{ConfineOff, "priority of all", ""},
		{ConfineOff, "shared memory", memory},
		{ConfineOff, "semaphores", ""},
		{ConfineOff, "watch", folder},
		{ConfineOff, "mode", model},
		{ConfineOff, "owner", model},
		{ConfineAuto, "limits", ""},
		{ConfineAuto, "scheduler", ""},
		{ConfineAuto, "priority", ""},
		{ConfineAuto, "input and output", ""},
		{ConfineAuto, "affinity", ""},
		{ConfineAuto, "copy", ""},
		{ConfineOff, "environ", host},
		{ConfineOff, "signal", host},
		{ConfineAuto, "model", ""},
		{ConfineAuto, "read", filepath.Join(folder, "m.bin")},
		{ConfineAuto, "temporary", ""},
		{ConfineAuto, "read", os.DevNull},
		{ConfineAuto, "write", os.DevNull},
		{ConfineOn, "model", ""},
		{ConfineOn, "temporary", ""},
	} {
		t.Run(fmt.Sprintf("%d %s %s", c.confine, c.try, filepath.Base(c.at)), func(t *testing.T) {
			t.Parallel()
			if err := attempt(t, c.confine, c.try, c.at, model); err != nil {
				t.Error(err)
			}
		})
	}
}

// sharedMemory is the number of a piece of memory of this process that others of its user can find.
func sharedMemory(t *testing.T) string {
	t.Helper()
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil {
			t.Error(err)
		}
	})
	return strconv.Itoa(id)
}

// TestConfinedTraining: a confined plugin trains into the folder of the Fit, which it may
// write to until then, and reads afterwards.
func TestConfinedTraining(t *testing.T) {
	needConfiners(t)
	t.Setenv(ConfineEnv, "")
	c := start(t, "pupil", Options{Confine: ConfineOn, Checks: ChecksOff, Replicas: 2})
	dir := t.TempDir()
	data := sdk.TrainingData{X: random(1, 4, 3), Labels: []int{0, 1, 1, 0}}
	done, err := c.Fit(t.Context(), data, sdk.FitOptions{OutputDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if string(done.ConfigJSON) != `{"weights": "seed"}` {
		t.Errorf("config %s", done.ConfigJSON)
	}
	for range 4 { // of each replica
		if _, err := c.Predict(t.Context(), random(2, 1, 3)); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range c.replicas {
		if len(r.current().run.box.Write) != 2 { // its own folder, and none for coverage
			t.Errorf("it may still write to %q", r.current().run.box.Write)
		}
	}
}

// withoutConfiners says to the test binary that the kernel lacks what it names.
const withoutConfiners = "VAEGUARD_TEST_WITHOUT"

// takeConfiners makes this process, and what it starts, live on a kernel without Landlock, without
// filters of seccomp, or without both: the calls fail as they do there.
func takeConfiners(without string) {
	calls := map[string][]int{
		"landlock": {unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_LANDLOCK_ADD_RULE, unix.SYS_LANDLOCK_RESTRICT_SELF},
		"seccomp":  {unix.SYS_SECCOMP},
		"both":     {unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_LANDLOCK_ADD_RULE, unix.SYS_LANDLOCK_RESTRICT_SELF, unix.SYS_SECCOMP},
	}[without]
	code := []unix.SockFilter{load(dataNumber)}
	for _, call := range calls {
		code = append(code, rule(call, refuse(unix.ENOSYS))...)
	}
	code = append(code, answer(unix.SECCOMP_RET_ALLOW))
	runtime.LockOSThread()
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		err = filter(code)
	}
	if err == nil {
		err = os.Unsetenv(withoutConfiners)
	}
	if err == nil {
		err = unix.Exec("/proc/self/exe", os.Args, os.Environ())
	}
	panic(err)
}

// TestKernelWithout: where the kernel lacks Landlock, filters or both, a shipped plugin runs with what is left,
// and says so; what the user wants confined is not started.
func TestKernelWithout(t *testing.T) {
	needConfiners(t)
	for _, c := range []struct {
		without string
		denied  string // what still is
		says    string
	}{
		{"landlock", "listen true, read false", "confined in part: no network; not held: files, without Landlock"},
		{"seccomp", "read true", "confined in part: no files but its own, no signals to others; not held: the network, without filters of seccomp"},
		{"both", "listen false, read false", "not confined, since the system cannot: the network, without filters of seccomp; files, without Landlock"},
	} {
		t.Run(c.without, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestWithout$", "-test.v")
			cmd.Env = append(os.Environ(), withoutConfiners+"="+c.without, withoutConfiners+"_INNER=1")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{
				"HELD " + c.says + "\n",
				c.denied + "\n",
				"ON " + errCannotConfine.Error() + "\n",
			} {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}

// TestWithout is the other side of TestKernelWithout.
func TestWithout(t *testing.T) {
	if os.Getenv(withoutConfiners+"_INNER") == "" {
		t.Skip("for TestKernelWithout")
	}
	self, err := Self("hermit")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{}
	fmt.Println("HELD", o.held(self))
	denied := func(try, at string) bool {
		err := attempt(t, ConfineAuto, try, at, "")
		if err != nil && !strings.Contains(err.Error(), "permission denied") {
			t.Error(err)
		}
		return err != nil
	}
	fmt.Printf("DENIED listen %v, read %v\n", denied("listen", ""), denied("read", "/etc/passwd"))
	err = attempt(t, ConfineOn, "", "", "")
	var e *Error
	if errors.As(err, &e) {
		err = e.Err
	}
	fmt.Println("ON", err)
}
