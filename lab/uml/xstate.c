/*
 * Preloaded into User-Mode Linux: lets a kernel that knows 2696 bytes of extended processor state (up to AVX-512 and
 * PKRU, its HOST_FP_SIZE) run on processors that have more, such as those with AMX. There the host's kernel refuses
 * to set a state of less than its full size (PTRACE_SETREGSET fails with EFAULT), and no node would boot. Linux
 * itself has the cure since 6.13.
 *
 * The state that is missing is always the initial one: using AMX takes a permission that no process of a node asks
 * for. So the state is handed on with zeroes behind it, and the header's bits say that these are not in use.
 */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

/* The largest state of today's processors is about 11000 bytes; the kernel takes as much as it knows. */
static char full[64 * 1024] __attribute__((aligned(64)));

/* Asked once: this is on the path of each system call of a node. */
static int short_refused;

long ptrace(enum __ptrace_request request, ...)
{
	va_list args;
	va_start(args, request);
	long pid = va_arg(args, long);
	void *addr = va_arg(args, void *);
	void *data = va_arg(args, void *);
	va_end(args);

	/* The C library's way of returning a word. */
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
		long word;
		long result = syscall(SYS_ptrace, (long)request, (pid_t)pid, addr, &word);
		if (result < 0)
			return result;
		errno = 0;
		return word;
	}

	int set_state = request == PTRACE_SETREGSET && (long)addr == NT_X86_XSTATE;
	if (!set_state || !short_refused) {
		long result = syscall(SYS_ptrace, (long)request, (pid_t)pid, addr, data);
		if (result == 0 || errno != EFAULT || !set_state)
			return result;
	}

	struct iovec *short_state = data;
	struct iovec full_state = { full, sizeof full };
	memcpy(full, short_state->iov_base, short_state->iov_len);
	long result = syscall(SYS_ptrace, (long)request, (pid_t)pid, addr, &full_state);
	short_refused = result == 0;
	return result;
}
