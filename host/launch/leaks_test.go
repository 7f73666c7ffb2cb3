package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// cyclesEnv is the variable by which the leak tests go round longer.
const cyclesEnv = "VAEGUARD_CYCLES"

// cycles is how often a leak test goes round: few times, or VAEGUARD_CYCLES
// times.
func cycles(few int) int {
	if n, err := strconv.Atoi(os.Getenv(cyclesEnv)); err == nil {
		return n
	}
	return few
}

// held is what this process holds on to. What a system does not show is 0.
type held struct {
	goroutines, files, children int
	sockets                     int   // files in the folders of sockets under its TMPDIR
	heap, resident              int64 // KiB after a collection
}

func holding(temp string) held {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	left, _ := filepath.Glob(filepath.Join(temp, "vaeguard-*", "*"))
	return held{
		goroutines: runtime.NumGoroutine(), files: openFiles(), children: children(os.Getpid()),
		sockets: len(left), heap: int64(m.HeapAlloc >> 10), resident: resident(os.Getpid()) >> 10,
	}
}

func (h held) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %d children, %d socket files, heap %d KiB, resident %d KiB",
		h.goroutines, h.files, h.children, h.sockets, h.heap, h.resident)
}

// over reports whether more is held than before. Memory may grow by what
// buffers and pools keep, whatever the number of rounds.
func (h held) over(before held) bool {
	const slack = 8 << 10 // KiB
	return h.goroutines > before.goroutines || h.files > before.files || h.children > before.children ||
		h.sockets > before.sockets || h.heap > before.heap+slack || h.resident > before.resident+3*slack
}

// settles waits until no more is held than before: ends take their time.
func settles(t *testing.T, temp string, before held, rounds int) {
	t.Helper()
	now := holding(temp)
	for end := time.Now().Add(time.Minute); now.over(before); now = holding(temp) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("after %d rounds %v; before %v\n%s", rounds, now, before, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("%d rounds: %v; before %v", rounds, now, before)
}

// shortTemp makes TMPDIR a folder whose name leaves room for sockets.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "vgl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
	return dir
}

// TestNothingLeaks counts what start–stop cycles leave behind in the host: of
// plugins that end when asked, that die, and that never start.
func TestNothingLeaks(t *testing.T) {
	temp := shortTemp(t)
	self, err := Self("fake")
	if err != nil {
		t.Fatal(err)
	}
	x := random(1, 2, 4, 3, 2)
	cycle := func(i int) {
		c, err := Start(t.Context(), Options{Command: self, Checks: ChecksOff})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Forward(t.Context(), x); err != nil {
			t.Error(err)
		}
		if i%4 == 1 {
			kill9(t, c.replicas[0].current())
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if i%4 == 3 {
			if _, err := Start(t.Context(), Options{Command: act("crash")}); err == nil {
				t.Error("a plugin that crashes at its start has started")
			}
		}
	}
	warm := max(4, cycles(0)/20)
	for i := range warm {
		cycle(i)
	}
	time.Sleep(2 * pipeGrace) // the last ones' pipes
	before := holding(temp)
	n := cycles(12)
	for i := range n {
		cycle(i)
	}
	settles(t, temp, before, n)
}

// TestCallsLeakNothing makes many calls of one plugin, tapes that nobody
// pulls among them, and calls that are cancelled.
func TestCallsLeakNothing(t *testing.T) {
	temp := shortTemp(t)
	c := start(t, "fake", Options{Checks: ChecksOff})
	x, dy := random(1, 2, 4, 3, 2), random(2, 2, 5)
	cots := map[string]*tensor.Tensor{sdk.Output: dy}
	round := func(i int) {
		if _, err := c.Predict(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		_, pull, err := c.Forward(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if _, err := pull(t.Context(), cots); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		round(i)
	}
	plugin := c.replicas[0].current().run.proc.pid()
	before, pluginBefore := holding(temp), resident(plugin)>>10
	n := 20 * cycles(20)
	for i := range n {
		round(i)
	}
	settles(t, temp, before, n)
	const slack = 24 << 10 // KiB, of the collector's pace in the plugin
	after := resident(plugin) >> 10
	t.Logf("the plugin: resident %d KiB; before %d", after, pluginBefore)
	if after > pluginBefore+slack {
		t.Errorf("the plugin grew from %d KiB to %d", pluginBefore, after)
	}
}

// openFiles counts descriptors where the system shows them.
func openFiles() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// children counts the processes whose parent is pid, zombies too, where the
// system shows them.
func children(pid int) int {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	n := 0
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			n++
		}
	}
	return n
}

// kill9 kills a plugin's process alone, as the kernel may when memory is short.
func kill9(t *testing.T, p *process) {
	t.Helper()
	plugin, err := os.FindProcess(p.run.proc.pid())
	if err == nil {
		err = plugin.Kill()
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}
