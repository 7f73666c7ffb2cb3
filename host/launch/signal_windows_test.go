package launch

import "os"

var stopSignal = os.Kill // nothing stops a process there
