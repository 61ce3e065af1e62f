/**
 * The system calls that a sandboxed command does not get, as a classic BPF program for bubblewrap's `--seccomp`.
 *
 * A filter rather than masks over socket files: a read-only bind does not stop connect(), masks know only the sockets
 * that exist when the command starts, and abstract sockets, vsock and datagram pairs have no file to be masked. Without a
 * socket of AF_UNIX there is nothing to call connect(), bind() or sendto() on, so those need no rule, which a filter could
 * not give anyway: it cannot follow pointers. socketpair() stays for streams; a datagram pair can be connected anew.
 * io_uring goes, since it makes sockets without socket(). An ENOSYS for clone3 makes libc use clone, whose flags can be
 * read. ptrace stays: a traced call is filtered again, and leak checkers and debuggers need it.
 *
 * The format is the kernel's (linux/filter.h, linux/seccomp.h); call numbers are those of asm/unistd_64.h and
 * asm-generic/unistd.h.
 */

/** `strict`: no Unix socket at all. `private`: Unix sockets, with those of the host masked. */
export type SandboxProfile = "strict" | "private";

/** A machine whose call numbers are known, as `process.arch` names it. */
export type Machine = "x64" | "arm64";

type Answer = "allow" | "EPERM" | "ENOSYS" | "kill";
type Label = Answer | "family" | "type" | "request" | "flags";

/** What becomes of a call: an answer, or a look at its arguments. Names and numbers: [x64, arm64]. */
const CALLS: readonly (readonly [name: string, x64: number, arm64: number, then: Label])[] = [
  ["socket", 41, 198, "family"],
  ["socketpair", 53, 199, "type"],
  ["ioctl", 16, 29, "request"],
  ["clone", 56, 220, "flags"],
  ["unshare", 272, 97, "flags"],
  ["clone3", 435, 435, "ENOSYS"],
  ["setns", 308, 268, "EPERM"],
  ["mount", 165, 40, "EPERM"],
  ["umount2", 166, 39, "EPERM"],
  ["pivot_root", 155, 41, "EPERM"],
  ["open_tree", 428, 428, "EPERM"],
  ["move_mount", 429, 429, "EPERM"],
  ["fsopen", 430, 430, "EPERM"],
  ["fsconfig", 431, 431, "EPERM"],
  ["fsmount", 432, 432, "EPERM"],
  ["fspick", 433, 433, "EPERM"],
  ["mount_setattr", 442, 442, "EPERM"],
  ["open_tree_attr", 467, 467, "EPERM"],
  ["io_uring_setup", 425, 425, "ENOSYS"],
  ["io_uring_enter", 426, 426, "ENOSYS"],
  ["io_uring_register", 427, 427, "ENOSYS"],
  ["add_key", 248, 217, "EPERM"],
  ["request_key", 249, 218, "EPERM"],
  ["keyctl", 250, 219, "EPERM"],
  ["userfaultfd", 323, 282, "EPERM"],
  ["bpf", 321, 280, "EPERM"],
];

const AUDIT_ARCH: Readonly<Record<Machine, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };
/** Calls of x86-64's 32-bit numbers come with this bit, and would pass by every rule. */
const X32_BIT = 0x40000000;

const AF = { UNIX: 1, INET: 2, INET6: 10, NETLINK: 16 };
const SOCK = { STREAM: 1, SEQPACKET: 5, TYPE_MASK: 0xf };
/** Both put words into a terminal as if they were typed. */
const REQUESTS = { TIOCSTI: 0x5412, TIOCLINUX: 0x541c };
const CLONE_NEWUSER = 0x10000000;

/** EPERM, not EAFNOSUPPORT: what fails so is asked about ("retry without sandbox?"). */
const ANSWERS: Readonly<Record<Answer, number>> = {
  allow: 0x7fff0000,
  EPERM: 0x00050000 | 1,
  ENOSYS: 0x00050000 | 38,
  kill: 0x80000000,
};

/** Where a word stands in `struct seccomp_data`: of an argument the low half, since the kernel takes these as ints. */
const WORD = { call: 0, machine: 4, first: 16, second: 24 };

const CODE = { load: 0x20, and: 0x54, isEqual: 0x15, isAtLeast: 0x35, hasBits: 0x45, answer: 0x06 };

/** `yes` and `no`: where to go on; the next instruction unless given. */
type Instruction = { code: number; k: number; yes?: Label | undefined; no?: Label | undefined; label?: Label };

const load = (k: number, label?: Label): Instruction => ({ code: CODE.load, k, ...(label && { label }) });
const mask = (k: number): Instruction => ({ code: CODE.and, k });
const whenEqual = (k: number, yes?: Label, no?: Label): Instruction => ({ code: CODE.isEqual, k, yes, no });
const answer = (label: Answer, isNamed = true): Instruction => ({
  code: CODE.answer,
  k: ANSWERS[label],
  ...(isNamed && { label }),
});

function instructions(machine: Machine, profile: SandboxProfile): Instruction[] {
  return [
    load(WORD.machine),
    whenEqual(AUDIT_ARCH[machine], undefined, "kill"),
    load(WORD.call),
    ...(machine === "x64" ? [{ code: CODE.isAtLeast, k: X32_BIT, yes: "ENOSYS" as const }] : []),
    ...CALLS.map(([, x64, arm64, then]) => whenEqual(machine === "x64" ? x64 : arm64, then)),
    answer("allow", false),
    load(WORD.first, "family"),
    ...(profile === "private" ? [whenEqual(AF.UNIX, "allow")] : []),
    whenEqual(AF.INET, "allow"),
    whenEqual(AF.INET6, "allow"),
    whenEqual(AF.NETLINK, "allow", "EPERM"),
    load(WORD.second, "type"),
    mask(SOCK.TYPE_MASK),
    whenEqual(SOCK.STREAM, "allow"),
    whenEqual(SOCK.SEQPACKET, "allow", profile === "private" ? "allow" : "EPERM"),
    load(WORD.second, "request"),
    whenEqual(REQUESTS.TIOCSTI, "EPERM"),
    whenEqual(REQUESTS.TIOCLINUX, "EPERM", "allow"),
    load(WORD.first, "flags"),
    { code: CODE.hasBits, k: CLONE_NEWUSER, yes: "EPERM" },
    answer("allow"),
    answer("EPERM"),
    answer("ENOSYS"),
    answer("kill"),
  ];
}

/** The machine that this process runs on; undefined where no filter is known. */
export const thisMachine = (): Machine | undefined =>
  process.arch === "x64" || process.arch === "arm64" ? process.arch : undefined;

/** The filter's bytes: an array of `struct sock_filter`, 8 bytes each, little-endian as both machines are. */
export function seccompFilter(machine: Machine, profile: SandboxProfile): Buffer {
  const program = instructions(machine, profile);
  const bytes = Buffer.alloc(program.length * 8);
  const distance = (at: number, to: Label | undefined): number =>
    to === undefined ? 0 : program.findIndex(({ label }) => label === to) - at - 1;
  for (const [at, { code, k, yes, no }] of program.entries()) {
    bytes.writeUInt16LE(code, at * 8);
    bytes.writeUInt8(distance(at, yes), at * 8 + 2);
    bytes.writeUInt8(distance(at, no), at * 8 + 3);
    bytes.writeUInt32LE(k, at * 8 + 4);
  }
  return bytes;
}
