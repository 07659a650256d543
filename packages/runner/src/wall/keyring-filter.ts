/**
 * A filter of system calls (seccomp(2)) that closes the kernel's keyrings to programs behind a wall. No namespace separates these: a
 * process has the session keyring of who started it, and may read the keys of its user on the machine and leave keys there.
 */

/**
 * The numbers of add_key, request_key and keyctl, by the architectures (linux/audit.h) as which a processor's programs may call: those of
 * x86-64, i386, AArch64 and 32-bit ARM.
 */
const CALLS = [
  { architecture: 0xc000003e, numbers: [248, 249, 250] },
  { architecture: 0x40000003, numbers: [286, 287, 288] },
  { architecture: 0xc00000b7, numbers: [217, 218, 219] },
  { architecture: 0x40000028, numbers: [309, 310, 311] },
] as const;
/** Programs of the x32 ABI have the architecture and the numbers of x86-64, with this bit. */
const WITHOUT_X32_BIT = 0xbfffffff;

/** Instructions of classic BPF (linux/bpf_common.h). */
const LOAD = 0x20;
const AND = 0x54;
const IF_EQUAL = 0x15;
const RETURN = 0x06;
/** What they load of a call (`struct seccomp_data`). */
const NUMBER = 0;
const ARCHITECTURE = 4;
const ALLOW = 0x7fff0000;
/** As on a kernel without keyrings, with which programs such as runc cope. */
const NOT_IMPLEMENTED = 0x00050000 | 38;

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, operand: number];

/** Returns the filter in the form that bubblewrap reads (`--seccomp`). */
export function keyringFilter(): Buffer {
  const instructions: Instruction[] = CALLS.flatMap(({ architecture, numbers: [first, second, third] }) => [
    [LOAD, 0, 0, ARCHITECTURE],
    // If it is another one, over the seven that follow.
    [IF_EQUAL, 0, 7, architecture],
    [LOAD, 0, 0, NUMBER],
    [AND, 0, 0, WITHOUT_X32_BIT],
    [IF_EQUAL, 3, 0, first],
    [IF_EQUAL, 2, 0, second],
    [IF_EQUAL, 1, 0, third],
    [RETURN, 0, 0, ALLOW],
    [RETURN, 0, 0, NOT_IMPLEMENTED],
  ]);
  return Buffer.concat([...instructions, [RETURN, 0, 0, ALLOW] as const].map(encoded));
}

function encoded([code, ifTrue, ifFalse, operand]: Instruction): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes.writeUInt8(ifTrue, 2);
  bytes.writeUInt8(ifFalse, 3);
  bytes.writeUInt32LE(operand, 4);
  return bytes;
}
