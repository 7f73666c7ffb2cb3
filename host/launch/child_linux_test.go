package launch

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
)

// TestNamesAreBytes: the supervisor starts what it was told to, whatever the bytes of its name
// and environment: not all names of files are UTF-8. A folder that the plugin is to be told is an error that says so.
func TestNamesAreBytes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "jos\xe9")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Skipf("names are UTF-8 here: %v", err)
	}
	exe := filepath.Join(dir, "plugin")
	copyProgram(t, exe)
	count := filepath.Join(t.TempDir(), "count")
	o := Options{
		Command: Command{Path: exe, Env: []string{shippedEnv + "=rogue", "NAMED=jos\xe9"}}, Checks: ChecksOff, RestartBudget: -1,
		Config: sdk.Config{JSON: []byte(`{"act": "named", "at": 1, "count": "` + count + `"}`), BaseDir: t.TempDir()},
	}
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Predict(t.Context(), random(1, 1, 4, 3, 2)); err != nil {
		t.Error(err)
	}
	o.Config.BaseDir = dir
	if _, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), `jos\xe9", which is not UTF-8`) {
		t.Error(err)
	}
}

// copyProgram copies this program.
func copyProgram(t *testing.T, to string) {
	t.Helper()
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, from); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCookieIsNotHandedDown: what a plugin starts was started by no host, and does not wait for one.
func TestCookieIsNotHandedDown(t *testing.T) {
	self, err := Self("rogue")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Start(t.Context(), Options{Command: self, Checks: ChecksOff, RestartBudget: -1, Config: sdk.Config{
		JSON: []byte(`{"act": "cookie", "at": 1, "count": "` + filepath.Join(t.TempDir(), "count") + `"}`),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Predict(t.Context(), random(1, 1, 4, 3, 2)); err != nil {
		t.Error(err)
	}
}
