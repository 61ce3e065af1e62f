/** Runs a classic BPF program as the kernel runs a seccomp filter, as far as such filters go. */

export type SystemCall = { readonly arch: number; readonly nr: number; readonly args?: readonly bigint[] };

/** @returns the 32-bit answer. @throws for what the kernel would refuse: an unknown instruction, or a walk off the end */
export function answerOf(program: Buffer, { arch, nr, args = [] }: SystemCall): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(nr >>> 0, 0);
  data.writeUInt32LE(arch >>> 0, 4);
  for (const [index, value] of args.entries()) data.writeBigUInt64LE(BigInt.asUintN(64, value), 16 + index * 8);
  let accumulator = 0;
  for (let at = 0; ; at += 1) {
    const offset = at * 8;
    if (offset >= program.length) throw new Error(`walked off the end at ${at}`);
    const code = program.readUInt16LE(offset);
    const yes = program.readUInt8(offset + 2);
    const no = program.readUInt8(offset + 3);
    const k = program.readUInt32LE(offset + 4);
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x15) at += accumulator === k ? yes : no;
    else if (code === 0x35) at += accumulator >= k ? yes : no;
    else if (code === 0x45) at += (accumulator & k) !== 0 ? yes : no;
    else if (code === 0x06) return k;
    else throw new Error(`unknown instruction ${code} at ${at}`);
  }
}
