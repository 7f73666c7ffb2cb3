package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// Confine says whether a plugin runs confined: without network, without files but those that
// it needs, and without signals to other processes. Linux alone can do that.
type Confine int

// The modes, classifier.confine in YAML.
const (
	ConfineAuto Confine = iota // a plugin that declares its needs, and not the network among them, as far as the kernel can
	ConfineOn                  // whatever it declares; an error where the kernel cannot
	ConfineOff                 // not at all
)

// ConfineEnv names the variable by which a user turns confinement off (off) for every plugin,
// those of detectors too, which cannot do so themselves.
const ConfineEnv = "VAEGUARD_CONFINE"

// ParseConfine reads auto, on or off; "" is auto.
func ParseConfine(s string) (Confine, error) {
	if s == "" {
		return ConfineAuto, nil
	}
	i := slices.Index([]string{"auto", "on", "off"}, s)
	if i < 0 {
		return 0, fmt.Errorf("confine: %q, want auto, on or off", s)
	}
	return Confine(i), nil
}

// Needs are what a plugin must be able to do when it is confined, besides reading its
// program, the system's libraries and the files that its config names, and writing to a
// temporary folder of its own and to the folder of a Fit.
type Needs struct {
	Network bool     `yaml:"network" doc:"it speaks with other machines"`
	Sockets bool     `yaml:"sockets" doc:"it connects to Unix sockets of this machine"`
	Read    []string `yaml:"read" doc:"files and folders that it reads besides its own folder, the system's programs and libraries, and what its config names; absolute, or relative to its folder"`
}

// box is what a confined process may do, and by which means it is held.
type box struct {
	Landlock int      // version of the kernel's interface; 0: files are not held
	Seccomp  bool     // whether calls of the system are filtered
	Run      []string // files and folders to read and execute
	Read     []string // files and folders to read
	Write    []string // folders to write to and read
	Network  bool
	Sockets  bool // connects to Unix sockets

	named []string // of Run and Read: what its manifest and its config name
}

// Confinement is what the processes of a plugin are kept from.
type Confinement struct {
	Asked   bool     // it was to be confined
	Kept    []string // what it is kept from, and by what
	Missing []string // what it was to be kept from, and this system cannot
}

// String says it in one line.
func (c Confinement) String() string {
	switch {
	case !c.Asked:
		return "not confined: it may do what its user may"
	case len(c.Kept) == 0:
		return "not confined, since the system cannot: " + strings.Join(c.Missing, "; ")
	case len(c.Missing) > 0:
		return "confined in part: " + strings.Join(c.Kept, ", ") + "; not held: " + strings.Join(c.Missing, "; ")
	}
	return "confined: " + strings.Join(c.Kept, ", ")
}

// confinement says what b amounts to; nil is none.
func (b *box) confinement() Confinement {
	if b == nil {
		return Confinement{}
	}
	c := Confinement{Asked: true}
	add := func(held bool, kept, missing string) {
		if held {
			c.Kept = append(c.Kept, kept)
		} else {
			c.Missing = append(c.Missing, missing)
		}
	}
	if !b.Network { // Landlock alone holds TCP, and not its multipath kind
		add(b.Seccomp, "no network", "the network, without filters of seccomp")
	}
	add(b.Landlock > 0, "no files but its own", "files, without Landlock")
	if b.Landlock > 0 {
		add(b.Landlock >= landlockScope, "no signals to others", fmt.Sprintf("signals, with version %d of Landlock", b.Landlock))
	}
	return c
}

// The versions of Landlock that brought what is used of it.
const (
	landlockRefer    = 2 // links and renames between folders
	landlockTruncate = 3
	landlockTCP      = 4
	landlockIoctl    = 5
	landlockScope    = 6 // signals and abstract sockets
)

// errCannotConfine is for confine: on.
var errCannotConfine = errors.New("classifier.confine is on, and this system cannot: that takes Linux 5.13 with Landlock and, for the network, filters of seccomp (auto does what there is)")

// confined reports whether c is to run confined.
func (o *Options) confined(c Command) bool {
	switch {
	case o.Confine == ConfineOff, os.Getenv(ConfineEnv) == "off":
		return false
	case o.Confine == ConfineOn:
		return true
	}
	return c.needs != nil && !c.needs.Network
}

// box is that of a process of v with a config, that may write to the folders of writes
// besides its own; nil: it is not confined.
func (o *Options) box(v *verified, conf sdk.Config, writes ...string) (*box, error) {
	b, err := o.bounds(v.Command)
	if b == nil {
		return nil, err
	}
	b.Run = append(b.Run, libraries...)
	b.Run = append(b.Run, filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))...)
	b.Run = append(b.Run, v.file, v.run)
	b.Read = append(b.Read, facts...)
	if b.Network {
		b.Read = append(b.Read, resolving...)
	}
	if !v.self {
		b.Run = append(b.Run, v.surroundings()...)
		b.Read = append(b.Read, "/proc", "/etc/ssl", "/etc/mime.types")
	}
	if v.needs != nil {
		for _, p := range v.needs.Read {
			b.Run = append(b.Run, v.at(p))
			b.named = append(b.named, v.at(p))
		}
	}
	models := configured(v.schema, conf)
	b.Read, b.named = append(b.Read, models...), append(b.named, models...)
	if _, err := os.Stat(filepath.Join(conf.BaseDir, FitFile)); err == nil {
		b.Read = append(b.Read, conf.BaseDir) // what it wrote itself
	}
	b.Write = append(writes, os.Getenv("GOCOVERDIR"))
	return b, nil
}

// bounds is the box of a command, without files; nil: it is not confined.
func (o *Options) bounds(c Command) (*box, error) {
	if !o.confined(c) {
		return nil, nil
	}
	b := &box{}
	if c.needs != nil {
		b.Network, b.Sockets = c.needs.Network, c.needs.Sockets
	}
	b.Landlock, b.Seccomp = confiners()
	if o.Confine == ConfineOn && (b.Landlock == 0 || !b.Seccomp && !b.Network) {
		return nil, errCannotConfine
	}
	return b, nil
}

// libraries are where the loader of programs finds what every program may need.
var libraries = []string{
	"/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib",
	"/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
}

// facts are what programs ask the system: about its processors, memory, time zone and locale.
var facts = []string{
	"/usr/share/zoneinfo", "/usr/share/locale", "/etc/localtime",
	"/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/filesystems", "/proc/sys",
	"/sys/devices/system", "/sys/kernel/mm", "/sys/fs/cgroup",
	"/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
}

// resolving is what names of hosts and certificates of servers are looked up in.
var resolving = []string{
	"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/nsswitch.conf", "/etc/services", "/etc/protocols",
	"/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/run/systemd/resolve",
}

// maxPath is the longest name of a file.
const maxPath = 4096

// denied says what may be behind an error of a confined process that was not allowed
// something, "" if nothing is.
func (b *box) denied(self bool, err error, lines []string) string {
	if b == nil {
		return ""
	}
	text := strings.ToLower(err.Error() + "\n" + strings.Join(lines, "\n"))
	for _, word := range []string{"permission denied", "operation not permitted", "permissionerror", "eacces", "eperm", "access is denied"} {
		if strings.Contains(text, word) {
			cure := "name what it needs in plugin.yaml under confine, or"
			if self {
				cure = "put what the model needs beside it, or"
			}
			return fmt.Sprintf("it runs %v; %s %s", b.confinement(), cure, without)
		}
	}
	return ""
}

// without says how to try a plugin that is not confined.
const without = "set classifier.confine to off (" + ConfineEnv + "=off for a detector)"

// early says that a process was confined which ended before it could be asked anything, "" if it was not:
// programs seldom say that they were not allowed something, least of all as they start.
func (b *box) early(self bool) string {
	held := b.confinement()
	if len(held.Kept) == 0 {
		return ""
	}
	allowed := "its program and the system's libraries"
	if !self {
		allowed = "its folder, the system's programs and libraries"
	}
	if n := len(b.named); n > 0 {
		shown := b.named[:min(n, maxNamed)]
		allowed += ", " + wire.Text(strings.Join(shown, ", "), wire.MaxName)
		if n > maxNamed {
			allowed += fmt.Sprintf(" and %d more", n-maxNamed)
		}
	}
	cure := "under confine in plugin.yaml, as read: [FILE]"
	if self {
		cure = "under Needs.Read of its launch.Shipped"
	}
	return fmt.Sprintf("it ran %v; it may read %s, and write to its temporary folder. If it looks further as it starts, name that %s; to see whether it does, %s",
		held, allowed, cure, without)
}

// maxNamed is the most files that a message names.
const maxNamed = 5

// Confinement says what the plugin's processes are kept from.
func (c *Classifier) Confinement() Confinement { return c.o.held(c.cmd.Command) }

func (o *Options) held(c Command) Confinement {
	b, err := o.bounds(c)
	if err != nil {
		return Confinement{Asked: true, Missing: []string{err.Error()}}
	}
	return b.confinement()
}
