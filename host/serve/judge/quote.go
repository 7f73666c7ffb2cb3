package judge

import (
	"strconv"

	"github.com/vaeguard/vaeguard/sdk/wire"
)

// quote is a name of a client's in an error of ours.
func quote(s string) string { return strconv.Quote(wire.Text(s, 100)) }
