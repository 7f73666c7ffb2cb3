package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// dial calls the plugin at the address of its handshake. A socket is looked at anew each time: it
// lies in a folder that the plugin may write to.
func (r *osRunner) dial(ctx context.Context, _ string) (net.Conn, error) {
	at := r.address.Load()
	if at == nil {
		return nil, errors.New("the plugin has named no address")
	}
	var d net.Dialer
	if at.network == "unix" && r.sockets != "" {
		return dialSocket(ctx, r.sockets, at.address)
	}
	return d.DialContext(ctx, at.network, at.address)
}

// address is where a plugin says that it listens.
type address struct{ network, address string }

// notSocket is the error of what is no socket where one was named.
func notSocket(name, what string) error {
	return fmt.Errorf("it names the socket %q, which is %s: the host calls sockets alone that lie in the folder of "+socketDirEnv, clip(name), what)
}

// plainSocket is the error of a name in folder that is no socket, or is reached over a link. What
// does not exist is fs.ErrNotExist.
func plainSocket(folder, name string) error {
	rel, err := filepath.Rel(folder, name)
	if err != nil || !filepath.IsLocal(rel) {
		return notSocket(name, "elsewhere")
	}
	at := folder
	parts := strings.Split(rel, string(filepath.Separator))
	for i, part := range parts {
		at = filepath.Join(at, part)
		info, err := os.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return err
		case err != nil:
			return plainPath(err)
		case info.Mode()&os.ModeSymlink != 0:
			return notSocket(name, "a link")
		case i == len(parts)-1 && info.Mode()&os.ModeSocket == 0:
			return notSocket(name, "no socket")
		}
	}
	return nil
}

// dialPlain is dialSocket where there is no way to call what was looked at.
func dialPlain(ctx context.Context, folder, name string) (net.Conn, error) {
	if err := plainSocket(folder, name); err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", name)
}
