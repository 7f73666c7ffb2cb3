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

// own lets a call pass whose argument is 0, which is the caller itself, and else answers otherwise.
func own(argument uint32, otherwise unix.SockFilter) []unix.SockFilter {
	return []unix.SockFilter{load(argument), jump(unix.BPF_JEQ, 0, 1), answer(unix.SECCOMP_RET_ALLOW), otherwise}
}

// ofArch are calls that not every architecture has, by their numbers, and what they are refused with.
var ofArch = map[string][]struct {
	number int
	errno  unix.Errno
}{
	"amd64": {
		{65, unix.EACCES}, {220, unix.EACCES}, // semop, semtimedop
		{90, 0},                            // chmod
		{92, unix.EPERM}, {94, unix.EPERM}, // chown, lchown
		{320, unix.EPERM},                    // kexec_file_load
		{172, unix.EPERM}, {173, unix.EPERM}, // iopl, ioperm
	},
	"arm64": {
		{193, unix.EACCES}, {192, unix.EACCES}, // semop, semtimedop
		{294, unix.EPERM}, // kexec_file_load
	},
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
		unix.SYS_FSCONFIG, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD,
		unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_SYSLOG, unix.SYS_ACCT,
		unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME,
		// Owners and attributes of files, which Landlock leaves to whoever has them.
		unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_SETXATTRAT,
		unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR, unix.SYS_REMOVEXATTRAT,
	} {
		add(call, refuse(unix.EPERM))
	}
	// Memory, messages and semaphores that have numbers or names of their own, and are shared by all processes of a
	// user; and what happens in folders, which may be watched without being read.
	for _, call := range []int{
		unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_MSGGET, unix.SYS_MSGSND, unix.SYS_MSGRCV, unix.SYS_MSGCTL, unix.SYS_SEMGET, unix.SYS_SEMCTL,
		unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK,
		unix.SYS_INOTIFY_ADD_WATCH, unix.SYS_FANOTIFY_INIT,
	} {
		add(call, refuse(unix.EACCES))
	}
	for _, call := range ofArch[runtime.GOARCH] {
		add(call.number, refuse(call.errno))
	}
	// Programs set the mode of what they write as a matter of course: they are told that it is done.
	for _, call := range []int{unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2} {
		add(call, refuse(0))
	}
	// Limits and priorities are its own to change, where 0 is the caller, and nobody else's. Where threads run is left to it:
	// libraries pin theirs, by numbers of which a filter cannot tell whose they are.
	for _, call := range []int{unix.SYS_PRLIMIT64, unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETATTR} {
		add(call, own(dataArgs, refuse(unix.EPERM))...)
	}
	for _, call := range []struct {
		number  int
		process uint32 // says that the second argument is a process
	}{{unix.SYS_SETPRIORITY, 0}, {unix.SYS_IOPRIO_SET, 1}} {
		add(call.number, append([]unix.SockFilter{
			load(dataArgs),
			{Code: unix.BPF_JMP | unix.BPF_K | unix.BPF_JEQ, K: call.process, Jt: 1},
			refuse(unix.EPERM),
		}, own(dataArgs+argSize, refuse(unix.EPERM))...)...)
	}
	// A file in memory has no place at which Landlock could keep it from being executed: it must be one that never is.
	add(unix.SYS_MEMFD_CREATE,
		load(dataArgs+argSize),
		jump(unix.BPF_JSET, unix.MFD_NOEXEC_SEAL, 1),
		answer(unix.SECCOMP_RET_ALLOW),
		refuse(unix.EACCES),
	)
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
