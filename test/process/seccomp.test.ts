/** The filter, instruction by instruction, as the kernel would run it on both machines. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Machine, type SandboxProfile, seccompFilter } from "../../src/process/sandbox/seccomp.ts";
import { answerOf } from "./bpf.ts";

const ARCH = { x64: 0xc000003e, arm64: 0xc00000b7 };
const ALLOW = 0x7fff0000;
const EPERM = 0x00050001;
const ENOSYS = 0x00050026;
const KILL = 0x80000000;

type Numbers = Readonly<Record<string, number>>;
const NUMBERS: Readonly<Record<Machine, Numbers>> = {
  x64: {
    ...{ socket: 41, socketpair: 53, ioctl: 16, clone: 56, unshare: 272, setns: 308, mount: 165, umount2: 166 },
    ...{ pivot_root: 155, add_key: 248, request_key: 249, keyctl: 250, userfaultfd: 323, bpf: 321 },
    ...{ read: 0, write: 1, connect: 42, bind: 49, sendto: 44, ptrace: 101, openat: 257, execve: 59 },
  },
  arm64: {
    ...{ socket: 198, socketpair: 199, ioctl: 29, clone: 220, unshare: 97, setns: 268, mount: 40, umount2: 39 },
    ...{ pivot_root: 41, add_key: 217, request_key: 218, keyctl: 219, userfaultfd: 282, bpf: 280 },
    ...{ read: 63, write: 64, connect: 203, bind: 200, sendto: 206, ptrace: 117, openat: 56, execve: 221 },
  },
};
const SHARED: Numbers = {
  ...{ io_uring_setup: 425, io_uring_enter: 426, io_uring_register: 427, open_tree: 428, move_mount: 429 },
  ...{ fsopen: 430, fsconfig: 431, fsmount: 432, fspick: 433, clone3: 435, mount_setattr: 442, open_tree_attr: 467 },
};

const MACHINES: readonly Machine[] = ["x64", "arm64"];
const PROFILES: readonly SandboxProfile[] = ["strict", "private"];
/** The kernel takes these as ints: what stands in the upper half must not matter. */
const forms = (value: number): bigint[] => [BigInt(value), BigInt(value) | 0xdeadbeef00000000n];

for (const machine of MACHINES) {
  for (const profile of PROFILES) {
    const program = seccompFilter(machine, profile);
    const numbers = { ...NUMBERS[machine], ...SHARED };
    const ask = (name: string, ...args: bigint[]) =>
      answerOf(program, { arch: ARCH[machine], nr: numbers[name] ?? -1, args });

    test(`${machine}, ${profile}: which sockets can be made`, () => {
      for (let family = 0; family < 64; family += 1) {
        const isKnown = family === 2 || family === 10 || family === 16 || (family === 1 && profile === "private");
        for (const form of forms(family))
          assert.equal(ask("socket", form, 1n), isKnown ? ALLOW : EPERM, String(family));
      }
      for (const flags of [0, 0o2000000, 0o4000]) {
        for (let type = 0; type < 16; type += 1) {
          const isStream = type === 1 || type === 5 || profile === "private";
          for (const form of forms(type | flags)) assert.equal(ask("socketpair", 1n, form), isStream ? ALLOW : EPERM);
        }
      }
    });

    test(`${machine}, ${profile}: no typing into terminals, no namespaces, no mounts, no keys, no rings`, () => {
      for (const request of [0x5412, 0x541c])
        for (const form of forms(request)) assert.equal(ask("ioctl", 0n, form), EPERM);
      for (const request of [0x5401, 0x5413, 0x80045430]) assert.equal(ask("ioctl", 0n, BigInt(request)), ALLOW);
      for (const call of ["clone", "unshare"]) {
        for (const form of forms(0x10000000 | 0x11)) assert.equal(ask(call, form), EPERM);
        assert.equal(ask(call, 0x003d0f00n), ALLOW);
      }
      for (const call of ["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"])
        assert.equal(ask(call), ENOSYS);
      const denied = "setns mount umount2 pivot_root open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr";
      const others = "open_tree_attr add_key request_key keyctl userfaultfd bpf";
      for (const call of `${denied} ${others}`.split(" ")) assert.equal(ask(call), EPERM, call);
      for (const call of "read write connect bind sendto ptrace openat execve".split(" "))
        assert.equal(ask(call), ALLOW, call);
    });

    test(`${machine}, ${profile}: calls of another machine or of other numbers never pass by a rule`, () => {
      for (const arch of [0x40000003, 0x40000028, ARCH[machine === "x64" ? "arm64" : "x64"], 0]) {
        assert.equal(answerOf(program, { arch, nr: 0 }), KILL);
      }
      if (machine === "x64") {
        for (const nr of [0, 41, 165, 0x3fffffff]) {
          assert.equal(answerOf(program, { arch: ARCH.x64, nr: nr + 0x40000000 }), ENOSYS);
        }
      }
    });

    test(`${machine}, ${profile}: every call has one of four answers`, () => {
      const word = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
      const call = fc.record({ nr: fc.nat(0xffffffff), args: fc.array(word, { minLength: 6, maxLength: 6 }) });
      fc.assert(
        fc.property(call, ({ nr, args }) => {
          assert.ok([ALLOW, EPERM, ENOSYS, KILL].includes(answerOf(program, { arch: ARCH[machine], nr, args }) >>> 0));
        }),
      );
    });
  }
}

test("the filters are as long as their tables say", () => {
  const lengths = MACHINES.flatMap((machine) => PROFILES.map((profile) => seccompFilter(machine, profile).length / 8));
  assert.deepEqual(lengths, [48, 49, 47, 48]);
});
