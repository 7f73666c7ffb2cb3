//go:build !linux

package launch

import (
	"context"
	"net"
)

// dialSocket calls a socket below a folder, by no link.
func dialSocket(ctx context.Context, folder, name string) (net.Conn, error) {
	return dialPlain(ctx, folder, name)
}
