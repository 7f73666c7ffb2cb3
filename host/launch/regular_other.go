//go:build !unix

package launch

// openNow is no flag: there are no pipes among files.
const openNow = 0
