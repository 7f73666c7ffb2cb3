package launch

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// confiners are what this kernel lets processes be confined with: the version of Landlock, 0 for
// none, and whether there are filters of seccomp.
func confiners() (landlock int, seccomp bool) {
	if v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); errno == 0 {
		landlock = int(v)
	}
	if _, ok := auditArch[runtime.GOARCH]; ok {
		action := uint32(unix.SECCOMP_RET_ERRNO)
		_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
		seccomp = errno == 0
	}
	return landlock, seccomp
}

// enter confines the calling thread, and what it starts from then on. There is no way back:
// the thread must end with its goroutine. programs are open files that it may execute besides.
func (b *box) enter(programs []*os.File) error {
	if b == nil {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if b.Landlock > 0 {
		if err := b.landlock(programs); err != nil {
			return fmt.Errorf("landlock: %w", err)
		}
	}
	if b.Seccomp {
		if err := filter(b.calls()); err != nil {
			return fmt.Errorf("seccomp: %w", err)
		}
	}
	return nil
}

// The rights of Landlock. Those of files are all that can be had of what is not a folder.
const (
	readRights  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	writeRights = readRights | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_REFER |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	nullRights = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	allRights  = writeRights | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	fileRights = nullRights | unix.LANDLOCK_ACCESS_FS_EXECUTE
)

// landlock takes the rights to files, and what else this version can, from the thread.
func (b *box) landlock(programs []*os.File) error {
	handled := uint64(allRights)
	for _, r := range []struct {
		since int
		right uint64
	}{
		{landlockRefer, unix.LANDLOCK_ACCESS_FS_REFER},
		{landlockTruncate, unix.LANDLOCK_ACCESS_FS_TRUNCATE},
		{landlockIoctl, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV},
	} {
		if b.Landlock < r.since {
			handled &^= r.right
		}
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: handled}
	if b.Landlock >= landlockTCP && !b.Network {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if b.Landlock >= landlockScope {
		attr.Scoped = unix.LANDLOCK_SCOPE_SIGNAL
		if !b.Sockets && !b.Network {
			attr.Scoped |= unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
		}
	}
	set, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return errno
	}
	defer func() { _ = unix.Close(int(set)) }()
	for _, group := range []struct {
		paths  []string
		rights uint64
	}{
		{b.Run, readRights | unix.LANDLOCK_ACCESS_FS_EXECUTE},
		{b.Read, readRights},
		{b.Write, writeRights},
		{[]string{os.DevNull}, nullRights},
	} {
		for _, path := range group.paths {
			if err := allowPath(int(set), path, group.rights&handled); err != nil {
				return err
			}
		}
	}
	for _, f := range programs {
		// One in sealed memory has no place in the tree, and needs no rule.
		if err := allow(int(set), int(f.Fd()), (unix.LANDLOCK_ACCESS_FS_READ_FILE|unix.LANDLOCK_ACCESS_FS_EXECUTE)&handled); err != nil && !errors.Is(err, unix.EBADFD) {
			return err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// allowPath adds a rule for a path and what is below it. One that is not there gets none.
func allowPath(set int, path string, rights uint64) error {
	if path == "" {
		return nil
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // what cannot be reached is not missed
	}
	defer func() { _ = unix.Close(fd) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights
	}
	if err := allow(set, fd, rights); err != nil && !errors.Is(err, unix.EBADFD) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func allow(set, fd int, rights uint64) error {
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// auditArch is what the kernel calls the architectures for which calls are filtered, little-endian ones.
var auditArch = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// Where struct seccomp_data has the call's number, its architecture and the low half of an
// argument.
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16
	argSize    = 8
	// x32 is the bit of numbers of amd64's other calling convention.
	x32 = 0x40000000
	// newNamespaces are the flags of clone that make namespaces.
	newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
)

func load(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

func answer(what uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what}
}

func refuse(errno unix.Errno) unix.SockFilter { return answer(unix.SECCOMP_RET_ERRNO | uint32(errno)) }

// jump goes on if the value that was loaded passes a test, and else skips the next instructions.
func jump(test uint16, k uint32, skip int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, K: k, Jf: uint8(skip)}
}

// rule is what becomes of one call: the instructions are reached for it alone, and end with an answer.
func rule(number int, then ...unix.SockFilter) []unix.SockFilter {
	return append([]unix.SockFilter{jump(unix.BPF_JEQ, uint32(number), len(then))}, then...)
}

// calls is the filter: sockets of the network, connections to others, and what reaches into other processes,
// namespaces or the kernel are refused.
func (b *box) calls() []unix.SockFilter {
	code := []unix.SockFilter{
		load(dataArch),
		jump(unix.BPF_JEQ, auditArch[runtime.GOARCH], 1),
		{Code: unix.BPF_JMP, K: 1}, // over the refusal
		refuse(unix.EPERM),
		load(dataNumber),
		jump(unix.BPF_JSET, x32, 1),
		refuse(unix.ENOSYS),
	}
	add := func(number int, then ...unix.SockFilter) { code = append(code, rule(number, then...)...) }
	if !b.Network {
		// Unix sockets that are connected before anything is sent: others take an address with each message.
		for _, call := range []int{unix.SYS_SOCKET, unix.SYS_SOCKETPAIR} {
			add(call,
				load(dataArgs),
				unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | unix.BPF_JEQ, K: unix.AF_UNIX, Jt: 1},
				refuse(unix.EACCES),
				load(dataArgs+argSize),
				unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0xf}, // without SOCK_CLOEXEC and SOCK_NONBLOCK
				unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | unix.BPF_JEQ, K: unix.SOCK_STREAM, Jt: 2},
				unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | unix.BPF_JEQ, K: unix.SOCK_SEQPACKET, Jt: 1},
				refuse(unix.EACCES),
				answer(unix.SECCOMP_RET_ALLOW),
			)
		}
		if !b.Sockets {
			add(unix.SYS_CONNECT, refuse(unix.EACCES))
		}
	}
	add(unix.SYS_CLONE,
		load(dataArgs),
		jump(unix.BPF_JSET, newNamespaces, 1),
		refuse(unix.EPERM),
		answer(unix.SECCOMP_RET_ALLOW),
	)
	// Its flags lie in memory, where no filter sees them: without it clone is used. The ring's calls pass no filter.
	for _, call := range []int{unix.SYS_CLONE3, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER} {
		add(call, refuse(unix.ENOSYS))
	}
	for _, call := range []int{
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_PERF_EVENT_OPEN, unix.SYS_BPF, unix.SYS_USERFAULTFD,
		unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSMOUNT,
		unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_SYSLOG, unix.SYS_ACCT,
	} {
		add(call, refuse(unix.EPERM))
	}
	return append(code, answer(unix.SECCOMP_RET_ALLOW))
}

// filter puts a filter before the calls of the calling thread and of what it starts.
func filter(code []unix.SockFilter) error {
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	runtime.KeepAlive(code)
	return nil
}
